"""Apply a function to many items in processes or threads; exceptions in a worker reach the caller.

Workers take items from one queue and put results into another. For small items this is several times faster than the
executors of the standard library.
"""

from __future__ import annotations

import gc
import pickle
import queue
import random
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

from bert4keras3.snippets.progress import with_progress

SECONDS_BETWEEN_CHECKS = 1.0  # between checks for dead workers, while no result arrives


class RemoteTraceback(Exception):
    """Cause of an exception from a worker; contains the worker's traceback."""


def parallel_apply_generator(
    func: Callable[[Any], Any],
    iterable: Iterable[Any],
    workers: int,
    max_queue_size: int,
    dummy: bool = False,
    random_seeds: bool | Sequence[int | None] | None = True,
    show_tqdm: bool = False,
) -> Iterator[tuple[int, Any]]:
    """Yield (index of the item, `func(item)`) in the order of completion.

    On Linux processes are forked and `func` may be any function; elsewhere `func` must be picklable.

    Args:
        func: function of one item.
        iterable: items; may be endless if `max_queue_size` is positive.
        workers: number of processes or threads.
        max_queue_size: largest number of items that wait for a worker; 0: no limit.
        dummy: use threads; they share the caller's random generators and do not change their state.
        random_seeds: seeds of NumPy's and Python's generators in processes. True: a new seed for each process;
            a list: one seed for each worker, None for a new one; False: processes keep the caller's state.
        show_tqdm: show a progress bar, which needs tqdm.

    Raises:
        RuntimeError: a process died.
        ValueError: `workers` is not positive.
        Exception: any exception of `func`.
    """
    if workers < 1:
        raise ValueError(f"parallel_apply: expected at least 1 worker, got {workers}")
    limit = workers + max_queue_size if max_queue_size > 0 else sys.maxsize
    pool = (Threads if dummy else Processes)(func, workers, limit, random_seeds)
    total = len(iterable) if isinstance(iterable, Sized) else None
    return iter(with_progress(pool.apply(iterable), show_tqdm, total))


class Threads:
    """A pool of threads. `limit` is the largest number of pending items; `random_seeds` matter to processes only."""

    def __init__(self, func: Callable[[Any], Any], workers: int, limit: int, random_seeds: Any):
        import threading

        self.limit = limit
        self.tasks: Any = queue.Queue()
        self.results: Any = queue.Queue()
        arguments = (func, self.tasks, self.results)
        self.workers: list[Any] = [
            threading.Thread(target=work, args=arguments, daemon=True) for _ in range(workers)
        ]

    pack = unpack = staticmethod(lambda message: message)

    def apply(self, iterable: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Queue items while fewer than `limit` are pending, and yield results as they arrive."""
        pending = 0
        try:
            self.start()
            for task in enumerate(iterable):
                while pending == self.limit or pending and not self.results.empty():
                    yield self.receive()
                    pending -= 1
                self.tasks.put(self.pack(task))
                pending += 1
            while pending:
                yield self.receive()
                pending -= 1
        finally:
            self.stop()

    def start(self) -> None:
        """Start the workers."""
        for worker in self.workers:
            worker.start()

    def receive(self) -> tuple[int, Any]:
        """The next result; raises the exception of the worker, or RuntimeError if a worker died."""
        while True:
            try:
                index, result, failure = self.unpack(self.results.get(timeout=SECONDS_BETWEEN_CHECKS))
                break
            except queue.Empty:
                self.check()
        if failure is not None:
            error, where = failure
            raise error from RemoteTraceback(where)
        return index, result

    def check(self) -> None:
        """Threads do not die."""

    def stop(self) -> None:
        """Discard waiting items, and let each thread finish its present item."""
        try:
            while True:
                self.tasks.get_nowait()
        except queue.Empty:
            pass
        for _ in self.workers:
            self.tasks.put(None)
        for worker in self.workers:
            worker.join()


class Processes(Threads):
    """A pool of processes. Messages are pickled here, because a queue silently drops what it cannot pickle."""

    def __init__(self, func: Callable[[Any], Any], workers: int, limit: int, random_seeds: Any):
        import multiprocessing

        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
        self.limit, self.tasks, self.results = limit, context.Queue(), context.Queue()
        self.workers = [
            context.Process(target=work_in_process, args=(func, self.tasks, self.results, seed), daemon=True)
            for seed in seeds_of_workers(random_seeds, workers)
        ]

    pack, unpack = staticmethod(pickle.dumps), staticmethod(pickle.loads)  # type: ignore[assignment]

    def start(self) -> None:
        """Fork without garbage collection; `work_in_process` starts it again."""
        enabled = gc.isenabled()
        gc.disable()
        try:
            super().start()
        finally:
            if enabled:
                gc.enable()

    def check(self) -> None:
        codes = [worker.exitcode for worker in self.workers if worker.exitcode is not None]
        if codes:
            raise RuntimeError(f"parallel_apply: a process died with exit code {codes[0]}; its item is lost")

    def stop(self) -> None:
        """Terminate all processes."""
        for worker in self.workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()
        for one in (self.tasks, self.results):
            one.cancel_join_thread()
            one.close()


def work(
    func: Callable[[Any], Any],
    tasks: Any,
    results: Any,
    pack: Callable[[Any], Any] = Threads.pack,
    unpack: Callable[[Any], Any] = Threads.unpack,
) -> None:
    """Loop of a worker: receive (index, item), send (index, result, failure); None ends it."""
    for message in iter(tasks.get, None):
        index, item = unpack(message)
        try:
            answer = pack((index, func(item), None))
        except BaseException as error:  # SystemExit too, because the caller waits for an answer
            answer = pack((index, None, (sendable(error, pack), traceback.format_exc())))
        results.put(answer)


def work_in_process(func: Callable[[Any], Any], tasks: Any, results: Any, seed: tuple | None) -> None:
    """Loop of a worker that is a process.

    Objects that a forked process inherits are never collected here. A session of TensorFlow, for example, waits for
    its threads when it is collected, and a forked process does not have these threads.
    """
    gc.freeze()
    gc.enable()
    if seed is not None:
        np.random.seed(*seed)
        random.seed(*seed)
    work(func, tasks, results, pickle.dumps, pickle.loads)


def sendable(error: BaseException, pack: Callable[[Any], Any]) -> BaseException:
    """The exception itself, or a RuntimeError with its text if it cannot be pickled."""
    try:
        pack(error)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def seeds_of_workers(random_seeds: bool | Sequence[int | None] | None, workers: int) -> list[tuple | None]:
    """Arguments of `seed` for each worker: (number,), or () for a new seed, or None to keep the generators' state."""
    if random_seeds is True:
        random_seeds = [None] * workers
    given = [() if seed is None else (seed,) for seed in random_seeds or []]
    return (given + [None] * workers)[:workers]


def parallel_apply(
    func: Callable[[Any], Any],
    iterable: Iterable[Any],
    workers: int,
    max_queue_size: int,
    callback: Callable[[Any], Any] | None = None,
    dummy: bool = False,
    random_seeds: bool | Sequence[int | None] | None = True,
    unordered: bool = True,
    show_tqdm: bool = False,
) -> list[Any] | None:
    """Apply `func` to all items in processes or threads. Other arguments are as in `parallel_apply_generator`.

    Args:
        callback: function of each result, called in the order of completion.
        unordered: return results in the order of completion; False: in the order of `iterable`.

    Returns:
        A list of results, or None if there is a `callback`.
    """
    results = parallel_apply_generator(
        func, iterable, workers, max_queue_size, dummy, random_seeds, show_tqdm
    )
    if callback is not None:
        for _, result in results:
            callback(result)
        return None
    if unordered:
        return [result for _, result in results]
    return [result for _, result in sorted(results, key=lambda pair: pair[0])]
