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
    """ratio: median of the new ÷ median of the old. p: of Mann-Whitney's U. smallest: ratio seen with power 0.8."""

    ratio: float
    p: float
    smallest: float | None

    @property
    def slower(self) -> bool:
        return self.p < ALPHA and self.ratio > 1 + THRESHOLD


def quantile(values: list[float], share: float) -> Quantile:
    if len(values) < 2:
        return Quantile(float(np.quantile(values, share)), None, None)
    test = stats.quantile_test(values, q=float(np.quantile(values, share)), p=share)
    interval = test.confidence_interval(CONFIDENCE)
    low, high = (None if np.isnan(end) else float(end) for end in interval)
    return Quantile(float(np.quantile(values, share)), low, high)


def ratio_of_medians(values: list[float], base: list[float]) -> Quantile:
    """Median of values ÷ median of base, with a bootstrap interval."""
    ratio = float(np.median(values) / np.median(base))
    if min(len(values), len(base)) < 3:
        return Quantile(ratio, None, None)
    random = np.random.default_rng(0)
    ends = np.quantile(
        resampled_medians(values, random) / resampled_medians(base, random),
        [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2],
    )
    return Quantile(ratio, float(ends[0]), float(ends[1]))


def resampled_medians(values: list[float], random: np.random.Generator) -> np.ndarray:
    return np.median(random.choice(values, size=(RESAMPLES * 5, len(values))), axis=1)


def compare(old: list[float], new: list[float], again: list[float]) -> Change:
    """Whether `new` is slower than `old`. again: the old once more, in the same rounds, which shows the noise."""
    p = float(stats.mannwhitneyu(new, old, alternative="greater").pvalue)
    return Change(float(np.median(new) / np.median(old)), p, smallest_change(old, again))


def smallest_change(old: list[float], again: list[float]) -> float | None:
    """Smallest ratio that `compare` would have called slower in 80 of 100 such runs; None where it never would.

    Runs are drawn from the A/A pair, one side made slower by the ratio. Noise between the two sides of the pair,
    such as that of where a process lies in memory, is in it: the sides are not mixed.
    """
    random = np.random.default_rng(0)
    for ratio in 1 + THRESHOLD * np.array([1.05, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 20]):
        first = random.choice(old, size=(RESAMPLES, len(old)))
        second = random.choice(again, size=(RESAMPLES, len(again))) * ratio
        p = stats.mannwhitneyu(second, first, alternative="greater", axis=1).pvalue
        off = np.median(second, axis=1) / np.median(first, axis=1) > 1 + THRESHOLD
        if np.mean((p < ALPHA) & off) >= POWER:
            return float(ratio)
    return None
