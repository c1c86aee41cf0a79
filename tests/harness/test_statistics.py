"""When a change of speed is real: on real times of reports/power.py, and on made-up ones."""

import numpy as np
import pytest

from bench.rows import MEASURED, Row
from bench.runner import Candidate
from reports import power
from reports.compare_commits import REPEATS, fastest_calls
from reports.statistics import compare, judge, log_ratios


@pytest.fixture(scope="module")
def starts():
    """Real times, measured on two cores that others used too."""
    return power.kept_starts()


def alarms(starts, turn, runs):
    return sum(one.worse for one in power.judged(starts, turn, runs))


def test_runs_without_a_change_do_not_alarm(starts):
    """All runs that were measured, and 100 that are drawn from their starts: at most one alarm."""
    assert alarms(starts, "new", power.fresh_runs(starts)) <= 1
    assert alarms(starts, "new", power.resampled_runs(starts, 100)) <= 1


def test_a_slowdown_of_3_percent_is_seen(starts):
    """The new encodes 34 texts in place of 33: at least nine of ten runs call it worse."""
    fresh = power.fresh_runs(starts)
    assert alarms(starts, "slow", fresh) >= 0.9 * len(fresh) > 0
    assert alarms(starts, "slow", power.resampled_runs(starts, 100)) >= 90


def test_a_speedup_of_3_percent_is_better_and_not_worse(starts):
    run = power.fresh_runs(starts)[0]
    change = judge(starts["slow"][run], starts["slow"][run], starts["new"][run])
    assert change.better and not change.worse and 0.95 < change.ratio < 0.99


def test_the_recorded_turns_are_what_a_repeat_measures():
    seconds = power.repeat()
    assert np.shape(seconds) == (power.ROUNDS, len(power.TURNS)) and np.min(seconds) > 0


def times(seed, scale=1.0, noise=0.01):
    return 0.05 * scale * np.random.default_rng(seed).lognormal(0, noise, (REPEATS, 8))


def test_a_machine_that_gets_slower_is_no_change():
    """Each round three times as slow as the one before: all three candidates are."""
    slower = 3.0 ** np.arange(8)
    assert not judge(times(0) * slower, times(1) * slower, times(2) * slower).worse
    assert judge(times(0) * slower, times(1) * slower, times(2, 1.03) * slower).worse


def test_a_start_that_is_slow_for_good_is_no_change():
    new = times(2)
    new[0] *= 2
    change = judge(times(0), times(1), new)
    assert not change.worse and abs(change.ratio - 1) < 0.01


def test_a_change_below_the_threshold_is_none():
    assert not judge(times(0, noise=1e-4), times(1, noise=1e-4), times(2, 1.005, 1e-4)).worse


def test_few_starts_see_nothing_and_say_so():
    change = compare(times(0)[:4], times(1)[:4], times(2, 2)[:4])
    assert not change.worse and change.smallest is None


def test_equal_numbers_are_no_change():
    change = compare([7] * REPEATS, [7] * REPEATS, [7] * REPEATS)
    assert (change.ratio, change.p, change.worse) == (1.0, 1.0, False)


def test_an_observation_is_a_start():
    assert log_ratios(times(0), times(1), times(2)).shape == (REPEATS,)


def test_each_candidate_has_as_many_chances_in_a_round():
    row = Row("", "", "", "", "a", "", "", "cpu", MEASURED)
    first, second = Candidate(row), Candidate(row)
    first.slices, second.slices = [[3.0], [4.0, 2.0, 1.0]], [[5.0], [6.0, 7.0]]
    assert fastest_calls([first, second]) == [[3.0, 2.0], [5.0, 6.0]]
