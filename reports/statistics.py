"""Statistics of times that were measured in rounds: quantiles with intervals, ratios, and when a change is real."""

from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
# Both must agree before a change counts: the rank test below ALPHA, the median off by more than THRESHOLD.
ALPHA = 0.01
THRESHOLD = 0.1
POWER = 0.8
RESAMPLES = 400


class Quantile(NamedTuple):
    """A quantile with its 95 % interval from order statistics, exact for any distribution; None where too few."""

    value: float
    low: float | None
    high: float | None


class Change(NamedTuple):
    """old, new: medians. ratio: of them. p: of Mann-Whitney's U. smallest: ratio that was seen with power 0.8."""

    old: float
    new: float
    ratio: float
    p: float
    smallest: float | None = None

    @property
    def worse(self) -> bool:
        return self.p < ALPHA and self.ratio > 1 + THRESHOLD


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


def compare(old: list[float], again: list[float], new: list[float]) -> Change:
    """Whether `new` is larger than `old`, and what could be seen. `again`, the old once more, shows the noise."""
    return judge(old, again, new)._replace(smallest=smallest_change(old, again, len(new)))


def judge(old: list[float], again: list[float], new: list[float]) -> Change:
    """The ratio is against the larger of the two medians of the old, so what these differ by is no change."""
    p = float(stats.mannwhitneyu(new, [*old, *again], alternative="greater").pvalue)
    median, base = float(np.median(new)), float(max(np.median(old), np.median(again)))
    return Change(base, median, median / base, p)


def smallest_change(old: list[float], again: list[float], count: int) -> float | None:
    """Smallest ratio that `compare` would have called worse in 80 of 100 such runs; None where it never would.

    The runs are drawn from the old: half of them take one side as the new, times the ratio, half the other.
    """
    random = np.random.default_rng(0)
    first, second = (random.choice(side, size=(RESAMPLES, len(side))) for side in (old, again))
    new = np.concatenate([random.choice(side, size=(RESAMPLES // 2, count)) for side in (old, again)])
    both = np.concatenate([first, second], axis=1)
    base = np.maximum(np.median(first, axis=1), np.median(second, axis=1))
    for ratio in 1 + THRESHOLD * np.array([1.05, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 20]):
        p = stats.mannwhitneyu(new * ratio, both, alternative="greater", axis=1).pvalue
        seen = (p < ALPHA) & (np.median(new, axis=1) * ratio / base > 1 + THRESHOLD)
        if np.mean(seen) >= POWER:
            return float(ratio)
    return None
