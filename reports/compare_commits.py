"""Speed and memory of the library in this tree and in an older commit, measured in one run.

Two processes hold the old library and one holds the new library. They run interleaved, and the two equal processes show
the noise. The old library comes from git and stands first on the path of its processes.
"""

import datetime
from typing import NamedTuple

import numpy as np

from bench.before import library_folder
from bench.implementations import BEFORE, CONTROL, Implementation, implementation_named
from bench.rows import MEASURED, Row
from bench.runner import InterleavedRun
from bench.scenarios import BY_NAME, Scenario
from parity.store import ROOT
from reports.statistics import Change, compare

LOGS = ROOT / ".cache" / "compare_commits"
SCENARIO = "bert-base-1x128"
ROUNDS, REPEATS = 4, 4  # slices of each process, and how often all are started anew


class Comparison(NamedTuple):
    """What came out for a scenario in a mode. reason: why nothing was compared."""

    scenario: str
    mode: str
    latency: Change | None
    memory: Change | None
    reason: str | None = None


def measure(pairing: str, commit: str, scenario: str = SCENARIO, repeats: int = REPEATS) -> list[Comparison]:
    """Each mode of a scenario."""
    library_folder(commit)
    one = BY_NAME[scenario]
    return [measure_mode(pairing, commit, one, mode, repeats) for mode in one.modes]


def measure_mode(pairing: str, commit: str, scenario: Scenario, mode: str, repeats: int) -> Comparison:
    new = implementation_named(f"bert4keras3-{pairing}")
    old = new._replace(name=new.name + BEFORE, before=commit)
    implementations = [old, new, old._replace(name=old.name + CONTROL)]
    latencies: list[list[float]] = [[], [], []]
    peaks: list[list[float]] = [[], [], []]
    scenario = scenario._replace(lengths=(), leak_check_calls=0)
    for _ in range(repeats):
        run = InterleavedRun(scenario, mode, implementations, ROUNDS, LOGS, make_row)
        run.run()
        for i, (row, candidate) in enumerate(zip(run.rows, run.candidates, strict=True)):
            if row.status != MEASURED:
                reason = f"{row.implementation} {row.status}: {row.reason}"
                return Comparison(scenario.name, mode, None, None, reason)
            # calls of one slice are too much alike to count one by one
            latencies[i] += [float(np.median(seconds)) for seconds in candidate.slices]
            peaks[i] += [row.peak_rss_bytes] if row.peak_rss_bytes else []
    memory = compare(peaks[0], peaks[2], peaks[1]) if all(peaks) else None
    return Comparison(scenario.name, mode, compare(latencies[0], latencies[2], latencies[1]), memory)


def make_row(implementation: Implementation, scenario: Scenario, mode: str) -> Row:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Row("compare_commits", now, "", "", implementation.name, scenario.name, mode, "cpu", MEASURED)
