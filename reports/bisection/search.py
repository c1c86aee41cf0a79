"""The search of a bisect: whom to run next, how often, and what follows from the runs. It starts no process.

A run fails or does not, or it measures a number. Both ends run first, and their runs say how often a good and a bad
candidate fails. A candidate runs until one of the two is ODDS times as probable, so a flicker and a noisy time are the
same thing. The last good and the first bad candidate run on until the odds are CONFIRMED.
"""

from collections.abc import Callable, Sequence
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import betaln

from parity.store import append_lines, read_lines
from reports.statistics import ALPHA

GOOD, BAD, ABSENT, FLICKERS = "good", "bad", "not judged", "flickers"
ODDS, CONFIRMED = 20, 100
END_RUNS = 3  # of each end, at least
FIRST_LOOK = 6  # runs of each end that a rank test needs; the next look is at twice as many
MOST_RUNS = 40
PRIOR = 0.5  # Jeffreys's, for how often a candidate fails
SCHEMA = 1


class Run(NamedTuple):
    """One run of a candidate.

    failed: whether it failed; None if `value` decides.
    value: a measured number.
    note: what came out, in a few words.
    absent: whether the candidate cannot be judged; `note` says why.
    """

    candidate: str
    failed: bool | None = None
    value: float | None = None
    note: str = ""
    absent: bool = False


class Answer(NamedTuple):
    """The last good and the first bad candidate, and the candidates between them, which could not be judged."""

    good: str
    bad: str
    between: list[str]


class EndsDiffer(ValueError):
    """The good end is not good, or the bad end not bad."""


class Log:
    """The runs so far, in a file of JSON lines: an interrupted bisect goes on after its last run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = [Run(**line) for line in read_lines(path, SCHEMA)] if path.exists() else []

    def add(self, run: Run) -> None:
        append_lines(self.path, [run._asdict()], SCHEMA)
        self.runs.append(run)

    def of(self, candidate: str) -> list[Run]:
        return [run for run in self.runs if run.candidate == candidate]


class Search:
    """Judge candidates, which stand for themselves by their names.

    Args:
        judge: runs a candidate once.
        good, bad: the ends.
        most: runs of one candidate, at most.
        on_run: is called with each new run.
    """

    def __init__(
        self,
        runs: Log,
        judge: Callable[[str], Run],
        good: str,
        bad: str,
        most: int = MOST_RUNS,
        on_run: Callable[[Run], None] = lambda run: None,
    ) -> None:
        self.log, self.judge, self.good, self.bad, self.most, self.on_run = (
            runs,
            judge,
            good,
            bad,
            most,
            on_run,
        )

    def run(self, candidate: str) -> None:
        self.log.add(self.judge(candidate))
        self.on_run(self.log.runs[-1])

    def check_ends(self) -> None:
        """Run both ends by turns until they differ. Raises EndsDiffer if they do not, or the other way."""
        while not self.ends_differ():
            counts = {end: len(self.log.of(end)) for end in (self.good, self.bad)}
            if min(counts.values()) >= self.most:
                break
            self.run(min(counts, key=lambda end: counts[end]))
            for end in counts:
                for run in self.log.of(end):
                    if run.absent:
                        raise EndsDiffer(f"the end {end} could not be judged: {run.note}")
        failed = {end: self.failures(end) for end in (self.good, self.bad)}
        if not self.ends_differ() or np.mean(failed[self.good]) >= np.mean(failed[self.bad]):
            raise EndsDiffer("; ".join(self.describe_end(end) for end in failed))

    def describe_end(self, end: str) -> str:
        runs = self.log.of(end)
        role = "good" if end == self.good else "bad"
        return (
            f"{end}, given as {role}: {sum(self.failures(end))} of {len(runs)} runs failed ({runs[-1].note})"
        )

    def ends_differ(self) -> bool:
        """Whether the runs of the ends differ by more than chance."""
        good, bad = self.log.of(self.good), self.log.of(self.bad)
        if min(len(good), len(bad)) < min(END_RUNS, self.most):
            return False
        if self.measured:
            return any(
                self.numbers_differ(good[:look], bad[:look]) for look in self.looks(len(good), len(bad))
            )
        counts = [self.failures(end) for end in (self.good, self.bad)]
        if min(map(len, counts)) >= self.most and not any(counts[0]) and all(counts[1]):
            return True
        apart = sum(evidence([], one) for one in counts)
        return apart - evidence([], counts[0] + counts[1]) > log(ODDS) - 1e-9

    def looks(self, *counts: int) -> list[int]:
        """At how many runs the numbers of the ends are compared: a look after each run would see noise as a change."""
        known = min(counts)
        looks = [look for look in (FIRST_LOOK * 2**i for i in range(known)) if look <= known]
        return looks + [self.most] * (known >= self.most)

    @staticmethod
    def numbers_differ(good: Sequence[Run], bad: Sequence[Run]) -> bool:
        values = [[run.value for run in runs if run.value is not None] for runs in (good, bad)]
        return all(values) and stats.mannwhitneyu(*values).pvalue < ALPHA / 2

    @property
    def measured(self) -> bool:
        """Whether numbers decide: a bad end that only fails leaves none."""
        return any(run.value is not None and run.failed is None for run in self.log.of(self.bad))

    def failures(self, candidate: str) -> list[bool]:
        """Of each run, whether it failed: a number does if it is nearer to the bad end than to the good one."""
        if not self.measured:
            return [bool(run.failed) for run in self.log.of(candidate)]
        good, bad = (
            float(np.median([run.value for run in self.log.of(end) if run.value is not None] or [np.nan]))
            for end in (self.good, self.bad)
        )
        return [
            run.value is None or abs(run.value - bad) < abs(run.value - good)
            for run in self.log.of(candidate)
        ]

    def verdict(self, candidate: str, odds: float = ODDS) -> str | None:
        """GOOD, BAD, ABSENT or FLICKERS; None if more runs are needed."""
        if candidate in (self.good, self.bad):
            return GOOD if candidate == self.good else BAD
        runs = self.log.of(candidate)
        if any(run.absent or (self.measured and run.value is None) for run in runs):
            return ABSENT  # a candidate that crashes says nothing about a speed
        failed = self.failures(candidate)
        score = evidence(self.failures(self.bad), failed) - evidence(self.failures(self.good), failed)
        if runs and abs(score) >= log(odds):
            return BAD if score > 0 else GOOD
        if len(runs) < self.most:
            return None
        if len(set(failed)) == 1 or abs(score) >= log(ODDS):
            return BAD if score > 0 else GOOD
        return FLICKERS

    def decide(self, candidate: str, odds: float = ODDS) -> None:
        """Run a candidate until it has its verdict. The ends keep up: their runs say what a flicker means."""
        while self.verdict(candidate, odds) is None:
            self.run(min(self.good, self.bad, candidate, key=lambda one: len(self.log.of(one))))

    def find(self, candidates: Sequence[str]) -> Answer:
        """Search candidates whose first is good and whose last is bad."""
        while True:
            verdicts = {one: self.verdict(one) for one in candidates}
            bad = min(i for i, one in enumerate(candidates) if verdicts[one] == BAD)
            good = max(i for i, one in enumerate(candidates[:bad]) if verdicts[one] == GOOD)
            untried = [i for i in range(good + 1, bad) if verdicts[candidates[i]] is None]
            if untried:
                middle = (good + bad) // 2
                self.decide(candidates[min(untried, key=lambda i: abs(i - middle))])
                continue
            neighbours = (candidates[good], candidates[bad])
            for one in neighbours:
                self.decide(one, CONFIRMED)
            if [self.verdict(one) for one in neighbours] == [GOOD, BAD]:
                return Answer(*neighbours, list(candidates[good + 1 : bad]))


def evidence(known: Sequence[bool], runs: Sequence[bool]) -> float:
    """Log probability of runs, if they fail as often as the known runs did (beta-binomial)."""
    failed, passed = PRIOR + sum(known), PRIOR + len(known) - sum(known)
    return float(betaln(failed + sum(runs), passed + len(runs) - sum(runs)) - betaln(failed, passed))
