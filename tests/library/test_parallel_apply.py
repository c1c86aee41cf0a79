"""Work in processes and threads: results, seeds, failures, which must not hang."""

import gc
import os
import sys
import time
import types

import numpy as np
import pytest

from bert4keras3.snippets import parallel, parallel_apply, parallel_apply_generator

KINDS = pytest.mark.parametrize("dummy", [False, True], ids=["processes", "threads"])


def double(number):
    return 2 * number


def draw(_):
    time.sleep(0.02)  # or one worker would take all the items
    return os.getpid(), np.random.randint(10**9)


def exit_at_once(_):
    os._exit(3)


def fail_at_five(number):
    if number == 5:
        raise KeyError("five")
    return number


@KINDS
def test_ordered_results_are_in_the_order_of_the_items(dummy):
    found = parallel_apply(double, range(50), workers=3, max_queue_size=4, dummy=dummy, unordered=False)
    assert found == [2 * i for i in range(50)]


@KINDS
@pytest.mark.parametrize("max_queue_size", [0, 1])
def test_queue_of_any_size_gives_every_result(dummy, max_queue_size):
    assert sorted(parallel_apply(double, range(9), 2, max_queue_size, dummy=dummy)) == list(range(0, 18, 2))


class ExitsInAnotherProcess:
    """Garbage that must not be collected in a forked process, like a session of TensorFlow, which would wait there."""

    def __init__(self):
        self.cycle, self.process = self, os.getpid()

    def __del__(self):
        if os.getpid() != self.process:
            os._exit(3)


def collect(number):
    gc.collect()
    return number


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_processes_leave_the_garbage_of_the_caller_alone():
    gc.disable()
    try:
        ExitsInAnotherProcess()
        assert sorted(parallel_apply(collect, range(9), workers=2, max_queue_size=2)) == list(range(9))
        assert not gc.isenabled()
    finally:
        gc.enable()


@KINDS
def test_exception_in_a_worker_reaches_the_caller(dummy):
    with pytest.raises(KeyError, match="five"):
        parallel_apply(fail_at_five, range(100), workers=2, max_queue_size=3, dummy=dummy)


@KINDS
def test_exception_of_the_items_reaches_the_caller(dummy):
    def items():
        yield 1
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        parallel_apply(double, items(), workers=2, max_queue_size=3, dummy=dummy)


def test_process_that_dies_raises(monkeypatch):
    monkeypatch.setattr(parallel, "SECONDS_BETWEEN_CHECKS", 0.05)
    with pytest.raises(RuntimeError, match="exit code 3"):
        parallel_apply(exit_at_once, range(3), workers=2, max_queue_size=3)


def leave(_):
    sys.exit(0)


@KINDS
def test_worker_that_exits_raises(dummy):
    with pytest.raises(SystemExit):
        parallel_apply(leave, range(3), workers=2, max_queue_size=3, dummy=dummy)


def test_exception_says_where_it_was_raised():
    with pytest.raises(KeyError) as caught:
        parallel_apply(fail_at_five, range(9), workers=1, max_queue_size=3)
    assert "in fail_at_five" in str(caught.value.__cause__)


class Unsendable(Exception):
    def __reduce__(self):
        raise TypeError("not this one")


def raise_unsendable(_):
    raise Unsendable("no way")


def test_exception_that_cannot_be_pickled_is_described():
    with pytest.raises(RuntimeError, match="Unsendable: no way"):
        parallel_apply(raise_unsendable, [1], workers=1, max_queue_size=3)


def test_item_that_cannot_be_pickled_raises():
    with pytest.raises(Exception, match="pickle|lambda"):
        parallel_apply(double, [lambda: 1], workers=1, max_queue_size=3)


def test_result_that_cannot_be_pickled_raises():
    with pytest.raises(Exception, match="pickle|lambda"):
        parallel_apply(lambda i: lambda: i, range(3), workers=1, max_queue_size=3)


@KINDS
def test_endless_items_are_taken_as_needed(dummy):
    taken = []

    def items():
        for i in range(10**9):
            taken.append(i)
            yield i

    results = parallel_apply_generator(double, items(), workers=2, max_queue_size=3, dummy=dummy)
    found = [next(results) for _ in range(20)]
    results.close()
    assert all(result == 2 * i for i, result in found)
    assert len(taken) <= 20 + 2 + 3


def test_seeds_reach_the_processes():
    found = parallel_apply(draw, range(12), workers=2, max_queue_size=20, random_seeds=[7, 7])
    draws = {}
    for process, number in found:
        draws.setdefault(process, []).append(number)
    expected = np.random.RandomState(7).randint(10**9, size=12).tolist()
    assert all(sorted(numbers) == sorted(expected[: len(numbers)]) for numbers in draws.values())


def test_processes_draw_different_numbers_by_default():
    found = parallel_apply(draw, range(8), workers=2, max_queue_size=8)
    assert len({number for _, number in found}) == 8


def test_processes_without_seeds_continue_the_callers_numbers():
    np.random.seed(11)
    expected = np.random.RandomState(11).randint(10**9)
    if sys.platform == "linux":
        assert parallel_apply(draw, [0], 1, 1, random_seeds=False)[0][1] == expected


def test_threads_leave_the_callers_generator_alone():
    np.random.seed(1)
    parallel_apply(double, range(4), workers=2, max_queue_size=2, dummy=True)
    assert np.random.randint(10**9) == np.random.RandomState(1).randint(10**9)


@KINDS
def test_no_workers_raise(dummy):
    with pytest.raises(ValueError):
        parallel_apply(double, [1], workers=0, max_queue_size=1, dummy=dummy)


def test_progress_is_shown_by_tqdm(monkeypatch):
    shown = []

    def tqdm(items, total, unit):
        shown.append(total)
        return items

    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    auto = types.ModuleType("tqdm.auto")
    auto.tqdm = tqdm
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    assert parallel_apply(double, [1, 2], 1, 1, dummy=True, unordered=False, show_tqdm=True) == [2, 4]
    assert shown == [2]


def test_progress_without_tqdm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"bert4keras3\[progress\]"):
        parallel_apply(double, [1, 2], 1, 1, dummy=True, show_tqdm=True)
