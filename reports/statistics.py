"""Statistics of times: quantiles with intervals, ratios, and when a change between two libraries is real.

Two cores that others use too make a call several times slower for a moment, and each start of a process is faster or
slower than the last for good. A comparison therefore starts its processes many times, and interleaves short rounds:

1. The fastest call of a start counts: other work only ever adds time. All candidates run interleaved in short rounds
   and have as many calls, so each has the same chance of a quiet moment. With a load of 22 on two cores the fastest
   calls of equal processes differed by 0.8 %, and median calls by 10 %.
2. Of each start, the new divided by the geometric mean of the old and of its control is one observation.
3. Starts are independent, so Wilcoxon's signed-rank test holds over the observations, whatever their distribution.

`python -m reports.power` shows on real times how often this alarms without a cause, and how often it sees 3 %.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95
# Both must agree before a change counts: the test below ALPHA, the ratio off by more than THRESHOLD.
# With ALPHA, 100 runs without a change have at most one alarm in 98 of 100 cases.
ALPHA = 0.002
THRESHOLD = 0.01
POWER = 0.9
RESAMPLES = 400
RATIOS = 1 + np.array([1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 20, 30, 50, 100, 200]) / 100


class Quantile(NamedTuple):
    """A quantile with its 95 % interval from order statistics, exact for any distribution; None where too few."""

    value: float
    low: float | None
    high: float | None


class Change(NamedTuple):
    """What `compare` found out about the new and the old.

    Attributes:
        old, new: medians.
        ratio: of the new to the old, from the ratios of the starts.
        p: of the test that the new is larger; p_smaller: that it is smaller.
        smallest: the smallest ratio that this run would have called worse with a probability of POWER.
    """

    old: float
    new: float
    ratio: float
    p: float
    smallest: float | None = None
    p_smaller: float = 1.0

    @property
    def worse(self) -> bool:
        return self.p < ALPHA and self.ratio > 1 + THRESHOLD

    @property
    def better(self) -> bool:
        return self.p_smaller < ALPHA and self.ratio < 1 / (1 + THRESHOLD)


def quantile(values: list[float], share: float) -> Quantile:
    value = float(np.quantile(values, share))
    if len(values) < 2:
        return Quantile(value, None, None)
    interval = stats.quantile_test(values, q=value, p=share).confidence_interval(CONFIDENCE)
    low, high = (None if np.isnan(end) else float(end) for end in interval)
    return Quantile(value, low, high)


def ratio_of_medians(values: list[float], base: list[float]) -> Quantile:
    """Median of values ÷ median of base, with a bootstrap interval."""
    ratio = float(np.median(values) / np.median(base))
    if min(len(values), len(base)) < 3:
        return Quantile(ratio, None, None)
    random = np.random.default_rng(0)
    top, bottom = (np.median(random.choice(one, (RESAMPLES * 5, len(one))), axis=1) for one in (values, base))
    low, high = np.quantile(top / bottom, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Quantile(ratio, float(low), float(high))


def compare(old: ArrayLike, control: ArrayLike, new: ArrayLike) -> Change:
    """Whether `new` is larger than `old`, and what could be seen.

    Args:
        old, control, new: of each start the rounds that ran interleaved, (starts, rounds), or (starts,) if a start has
            one number. `control` is the old once more.
    """
    change = judge(old, control, new)
    return change._replace(smallest=smallest_change(log_ratios(old, control, new)))


def judge(old: ArrayLike, control: ArrayLike, new: ArrayLike) -> Change:
    """Compare, without what could be seen. If the test tells old and control apart, the larger is the base."""
    observed = log_ratios(old, control, new)
    base = np.median([*np.ravel(old), *np.ravel(control)])
    apart = log_ratios(old, old, control)
    if min(p_larger(apart), p_larger(-apart)) < ALPHA:
        larger = control if center(apart) > 0 else old
        observed, base = log_ratios(larger, larger, new), np.median(np.ravel(larger))
    ratio, median = float(np.exp(center(observed))), float(np.median(np.ravel(new)))
    return Change(float(base), median, ratio, p_larger(observed), p_smaller=p_larger(-observed))


def log_ratios(old: ArrayLike, control: ArrayLike, new: ArrayLike) -> np.ndarray:
    """One observation for each start: log(new ÷ geometric mean of old and control), each by its fastest round."""
    logs = [np.log(np.asarray(one, "float64")) for one in (old, control, new)]
    fastest = [one.reshape(len(one), -1).min(axis=1) for one in logs]
    return fastest[2] - (fastest[0] + fastest[1]) / 2


def center(observed: np.ndarray) -> np.ndarray:
    """Hodges and Lehmann's estimate over the last axis: the median of the means of all pairs."""
    first, second = np.triu_indices(observed.shape[-1])
    return np.median((observed[..., first] + observed[..., second]) / 2, axis=-1)


def p_larger(observed: np.ndarray) -> float:
    """One-sided p of Wilcoxon's signed-rank test that the observations are larger than 0."""
    return float(p_values(observed[None])[0])


def p_values(observed: np.ndarray) -> np.ndarray:
    """The same for each row. A row of nothing but zeros has p = 1."""
    moved = np.any(observed != 0, axis=1)
    p = np.ones(len(observed))
    if moved.any():
        # without "exact", ties would be permuted, which takes minutes
        options = dict(alternative="greater", zero_method="zsplit", method="exact", axis=1)
        p[moved] = stats.wilcoxon(observed[moved], **options).pvalue
    return p


def smallest_change(observed: np.ndarray) -> float | None:
    """Smallest ratio that would have been called worse in 90 of 100 such runs; None where it never would.

    The runs are drawn from the observations about their center, each with either sign, shifted by the ratio.
    """
    random = np.random.default_rng(0)
    shape = (RESAMPLES, len(observed))
    noise = random.choice(observed - center(observed), shape) * random.choice([-1, 1], shape)
    for ratio in RATIOS:
        drawn = noise + np.log(ratio)
        seen = (p_values(drawn) < ALPHA) & (center(drawn) > np.log(1 + THRESHOLD))
        if np.mean(seen) >= POWER:
            return float(ratio)
    return None
