"""A function over many items in processes or threads; whatever goes wrong in a worker reaches the caller.

A queue of items, one of results, and workers between them: for small items that is several times as fast as the
executors of the standard library.
"""

from __future__ import annotations

import pickle
import queue
import random
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np

from bert4keras3.snippets.progress import with_progress

SECONDS_BETWEEN_CHECKS = 1.0  # for workers that died, while no result comes


class RemoteTraceback(Exception):
    """Cause of an exception from a worker: where it was raised there."""


def parallel_apply_generator(
    func: Callable[[Any], Any],
    iterable: Iterable[Any],
    workers: int,
    max_queue_size: int,
    dummy: bool = False,
    random_seeds: bool | Sequence[int | None] | None = True,
    show_tqdm: bool = False,
) -> Iterator[tuple[int, Any]]:
    """(index of an item, `func` of it), in the order in which the results come.

    `workers` processes, or threads if `dummy`. At most `max_queue_size` items wait for a worker, so that
    `iterable` may be endless; 0 is no bound. `random_seeds` starts NumPy's and Python's generators in the
    processes: True, each anew; a list, one seed for each worker, None for a new one; False, as they were.
    Threads share the caller's generators, which stay as they are.

    On Linux processes are forked and `func` may be any function, elsewhere it has to be picklable. Raises what
    `func` raises, RuntimeError if a process dies, ValueError if `workers` is not positive.
    """
    if workers < 1:
        raise ValueError(f"parallel_apply: expected at least 1 worker, got {workers}")
    room = workers + max_queue_size if max_queue_size > 0 else sys.maxsize
    crew = (Threads if dummy else Processes)(func, workers, room, random_seeds)
    total = len(iterable) if isinstance(iterable, Sized) else None
    return iter(with_progress(crew.apply(iterable), show_tqdm, total))


class Threads:
    """Workers that share our memory."""

    def __init__(self, func: Callable[[Any], Any], workers: int, room: int, random_seeds: Any):
        """`room`: as many items are on their way at most. `random_seeds` are for processes."""
        import threading

        self.room = room
        self.tasks: Any = queue.Queue()
        self.results: Any = queue.Queue()
        arguments = (func, self.tasks, self.results)
        self.crew: list[Any] = [
            threading.Thread(target=work, args=arguments, daemon=True) for _ in range(workers)
        ]

    pack = unpack = staticmethod(lambda message: message)

    def apply(self, iterable: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Hand out items while there is room, and take results whenever there are some."""
        on_their_way = 0
        try:
            for worker in self.crew:
                worker.start()
            for task in enumerate(iterable):
                while on_their_way == self.room or on_their_way and not self.results.empty():
                    yield self.receive()
                    on_their_way -= 1
                self.tasks.put(self.pack(task))
                on_their_way += 1
            while on_their_way:
                yield self.receive()
                on_their_way -= 1
        finally:
            self.stop()

    def receive(self) -> tuple[int, Any]:
        """The next result; raises what was raised in the worker, RuntimeError if one is dead."""
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
        """Take back what is waiting, and let each thread finish the item that it has."""
        try:
            while True:
                self.tasks.get_nowait()
        except queue.Empty:
            pass
        for _ in self.crew:
            self.tasks.put(None)
        for worker in self.crew:
            worker.join()


class Processes(Threads):
    """Workers with a memory of their own. Messages are pickled here, as a queue loses what it cannot pickle."""

    def __init__(self, func: Callable[[Any], Any], workers: int, room: int, random_seeds: Any):
        import multiprocessing

        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
        self.room, self.tasks, self.results = room, context.Queue(), context.Queue()
        self.crew = [
            context.Process(
                target=work,
                args=(func, self.tasks, self.results, pickle.dumps, pickle.loads, seed),
                daemon=True,
            )
            for seed in seeds_of_workers(random_seeds, workers)
        ]

    pack, unpack = staticmethod(pickle.dumps), staticmethod(pickle.loads)  # type: ignore[assignment]

    def check(self) -> None:
        codes = [worker.exitcode for worker in self.crew if worker.exitcode is not None]
        if codes:
            raise RuntimeError(f"parallel_apply: a process died, exit code {codes[0]}, and its item with it")

    def stop(self) -> None:
        """Whatever a process is doing, no one waits for it any more."""
        for worker in self.crew:
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
    seed: tuple | None = None,
) -> None:
    """What a worker does until it gets None: take (index, item), send (index, result, failure)."""
    if seed is not None:
        np.random.seed(*seed)
        random.seed(*seed)
    for message in iter(tasks.get, None):
        index, item = unpack(message)
        try:
            answer = pack((index, func(item), None))
        except BaseException as error:  # SystemExit too: the caller waits for an answer
            answer = pack((index, None, (sendable(error, pack), traceback.format_exc())))
        results.put(answer)


def sendable(error: BaseException, pack: Callable[[Any], Any]) -> BaseException:
    """The exception, or one that says what it was, if it cannot be pickled."""
    try:
        pack(error)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def seeds_of_workers(random_seeds: bool | Sequence[int | None] | None, workers: int) -> list[tuple | None]:
    """For each worker the arguments of `seed`: (number,), () for a new one, or None to leave its generators alone."""
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
    """The results as a list, in any order, or in that of `iterable` with `unordered=False`.

    With a `callback` each result goes to it as it comes, and None is returned. `show_tqdm` shows a progress
    bar, which needs tqdm. The rest is as in `parallel_apply_generator`.
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
