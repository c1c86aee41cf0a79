"""A function over many items in processes or threads; an exception in a worker reaches the caller.

Executors of the standard library, as they notice a worker that dies, where a bare pool would wait for ever.
"""

from __future__ import annotations

import multiprocessing
import queue
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np

from bert4keras3.snippets.progress import with_progress

# In a worker process: the function of its pool. Not sent with each item, as a closure cannot be pickled.
_function: Callable[[Any], Any]


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
    `func` raises, BrokenProcessPool if a process dies, ValueError if `workers` is not positive.
    """
    pool: Executor
    if dummy:
        pool, call = ThreadPoolExecutor(workers), func
    else:
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
        seeds = context.SimpleQueue()
        for seed in _seeds_of_workers(random_seeds, workers):
            seeds.put(seed)
        pool, call = ProcessPoolExecutor(workers, context, _start_worker, (func, seeds)), _call

    total = len(iterable) if isinstance(iterable, Sized) else None
    results = _results(pool, call, iterable, workers + max_queue_size if max_queue_size > 0 else sys.maxsize)
    return iter(with_progress(results, show_tqdm, total))


def _seeds_of_workers(random_seeds: bool | Sequence[int | None] | None, workers: int) -> list[Any]:
    """For each worker the arguments of `seed`: (), (number,) or None to leave its generators alone."""
    if random_seeds is True:
        random_seeds = [None] * workers
    given = [() if seed is None else (seed,) for seed in random_seeds or []]
    return (given + [None] * workers)[:workers]


def _start_worker(func: Callable[[Any], Any], seeds: Any) -> None:
    global _function
    _function = func
    seed = seeds.get()
    if seed is not None:
        np.random.seed(*seed)
        random.seed(*seed)


def _call(item: Any) -> Any:
    return _function(item)


def _results(
    pool: Executor, call: Callable[[Any], Any], iterable: Iterable[Any], limit: int
) -> Iterator[tuple[int, Any]]:
    """Results as they come, while at most `limit` items are on their way."""
    indices: dict[Future, int] = {}
    done: queue.SimpleQueue = queue.SimpleQueue()

    def take() -> tuple[int, Any]:
        future = done.get()
        return indices.pop(future), future.result()

    try:
        for i, item in enumerate(iterable):
            future = pool.submit(call, item)
            indices[future] = i
            future.add_done_callback(done.put)
            while len(indices) == limit or not done.empty():
                yield take()
        while indices:
            yield take()
    finally:  # the rest is not wanted after an exception, or if the caller stops early
        for future in indices:
            future.cancel()
        pool.shutdown()


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
