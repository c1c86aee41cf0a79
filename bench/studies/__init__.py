"""Studies: one question each, measured in one run on `interleave()`, with rows in `bench/results/<study>.jsonl`.

    python -m bench.studies.quantization [--rounds 5]      in the environment of a pairing, with its variables

The functions here are all that the studies share. `docs/` shows tables of the rows: see reports/documentation.py.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import zipfile
from pathlib import Path
from typing import Any, Callable, Iterable

import numpy as np

from bench.rows import StudyRow, write_study
from bench.trackers import versions
from pairings import ORACLES, PAIRINGS
from parity.machine import processor_name
from parity.store import ROOT

RESULTS = ROOT / "bench" / "results"


def interleave(candidates: dict[str, Callable[[], Any]], rounds: int, warm_up: int = 1) -> dict[str, list]:
    """Call every candidate once in each round, in an order that is drawn anew for each round.

    What slows the machine down for a minute then slows all candidates, and a ratio within a round keeps its meaning.

    Args:
        candidates: {name: function}; `timed` makes functions that return seconds.
        warm_up: rounds before, whose results do not count; they compile.

    Returns: {name: [what the function returned in each round]}.
    """
    random, names = np.random.RandomState(0), list(candidates)
    results: dict[str, list] = {name: [] for name in names}
    for number in range(warm_up + rounds):
        for place in random.permutation(len(names)):
            result = candidates[names[place]]()
            if number >= warm_up:
                results[names[place]].append(result)
    return results


def timed(function: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> Callable[[], float]:
    """Wrap a function, so that it returns its seconds by a clock."""

    def seconds() -> float:
        start = clock()
        function()
        return clock() - start

    return seconds


def ratio_of(values: Iterable[float], base: Iterable[float]) -> tuple[float, float, float]:
    """Compare two candidates round by round. Returns: the median of the ratios, and their quartiles."""
    low, median, high = np.percentile(np.array(values) / np.array(base), [25, 50, 75])
    return float(median), float(low), float(high)


def ratio_to(base_values: Iterable[float], values: Iterable[float], base: str) -> dict[str, Any]:
    """The fields of a row that is compared with the values of its base."""
    return dict(zip(("ratio", "low", "high"), ratio_of(values, base_values)), base=base)


class Study:
    """Collects the rows of one run, prints them, and keeps them.

    Args:
        name: of the study, as its file in `bench/results/`.
        rounds: how many there are.
        settings: what decides the speed, beside the versions that `trackers` knows.
    """

    def __init__(self, name: str, rounds: int, **settings: str) -> None:
        self.name = name
        self.rows: list[StudyRow] = []
        self.common = dict(rounds=rounds, pairing=pairing_name(), machine=machine_name())
        self.settings = dict(settings, python=platform.python_version())
        print(f"{pairing_name()} on {machine_name()}, {rounds} rounds", flush=True)

    def add(self, case: str, candidate: str, metric: str, value: Any, unit: str = "", **fields: Any) -> None:
        """Add a figure; `fields` are further ones of StudyRow."""
        fields = {**self.common, "versions": {**versions(), **self.settings}, **fields}
        row = StudyRow(self.name, case, candidate, metric, float(value), unit, **fields)
        self.rows.append(row)
        against = "" if row.ratio is None else f"  {row.ratio:.3f} x {row.base}"
        between = "" if row.low is None else f" ({row.low:.3f} to {row.high:.3f})"
        print(f"{case:28} {candidate:26} {metric:12} {value:10.4g} {unit}{against}{between}", flush=True)

    def add_times(
        self,
        case: str,
        results: dict[str, list],
        bases: dict[str, str],
        metric: str = "time",
        unit: str = "s",
        scale: float = 1,
        **fields: Any,
    ) -> None:
        """Add the median of each candidate's results, and its ratio to its base if it has one.

        Args:
            results: {candidate: [seconds, or what else was measured, in each round]}.
            bases: {candidate: the candidate that it is compared with}.
            scale: of the value, from what was measured to the unit.
            fields: further ones of StudyRow, for all candidates.
        """
        for name, values in results.items():
            against = ratio_to(results[bases[name]], values, bases[name]) if name in bases else {}
            self.add(case, name, metric, scale * np.median(values), unit, **against, **fields)

    def write(self) -> None:
        path = RESULTS / (self.name + ".jsonl")
        write_study(path, self.rows)
        print(f"rows: {path}")


def read_rounds(description: str, rounds: int) -> int:
    """The value of --rounds."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    return parser.parse_args().rounds


def read_reviews(archive: str | Path, part: str) -> list[tuple[str, int]]:
    """(text, label) of each review in a part of sentiment.zip: "train", "valid" or "test"."""
    with zipfile.ZipFile(archive) as file:
        lines = file.read(f"sentiment/sentiment.{part}.data").decode("utf-8").splitlines()
    return [(text, int(label)) for text, label in (line.rsplit("\t", 1) for line in lines)]


def pairing_name() -> str:
    """Name of the pairing that this process is, or of its environment; with "-packed" under PACKED_LINEAR=1."""
    environment = Path(sys.prefix).name
    suffix = "-packed" if os.environ.get("PACKED_LINEAR") == "1" else ""
    for one in PAIRINGS + ORACLES:
        ours = one.environment == environment and one.library == "bert4keras3"
        if ours and all(os.environ.get(name) == value for name, value in one.variables.items()):
            return one.name + suffix
    return environment + suffix


def machine_name() -> str:
    return f"{len(os.sched_getaffinity(0))} cores of {processor_name()}"
