"""What the library costs in this tree and in an older commit, or in two commits, measured in one run.

Counts come first, since they have no noise: operations, bytes, Python calls. A count is compared if the two equal
processes have the same. Then times and memory: two processes hold the old library and one the new library. They run
interleaved and are started anew often, see reports/statistics.py. The old library comes from git and stands first on
the path of its processes.
"""

import datetime
from typing import NamedTuple

from bench.before import library_folder
from bench.implementations import BEFORE, CONTROL, Implementation, implementation_named
from bench.rows import MEASURED, Row
from bench.runner import Candidate, InterleavedRun
from bench.scenarios import BY_NAME, Scenario
from parity.store import ROOT
from reports.speed_turns import changed_counts, count_turn
from reports.statistics import Change, compare
from reports.verdicts import Turn

LOGS = ROOT / ".cache" / "compare_commits"
SCENARIO = "bert-base-1x128"
ROUNDS, REPEATS = 8, 12  # turns of each process, and how often all are started anew: ten minutes of BERT-base


class Comparison(NamedTuple):
    """What came out for a scenario in a mode.

    counts: {name: (old, new)} of those that differ. reason: why nothing was compared.
    """

    scenario: str
    mode: str
    latency: Change | None
    memory: Change | None
    reason: str | None = None
    counts: dict[str, tuple[int, int]] = {}


def measure(
    pairing: str, commit: str, scenario: str = SCENARIO, repeats: int = REPEATS, new: str | None = None
) -> list[Comparison]:
    """Each mode of a scenario. new: another commit, in place of the library that is installed."""
    for one in filter(None, (commit, new)):
        library_folder(one)
    found = BY_NAME[scenario]
    return [measure_mode(pairing, commit, found, mode, repeats, new) for mode in found.modes]


def measure_mode(
    pairing: str, commit: str, scenario: Scenario, mode: str, repeats: int, new: str | None = None
) -> Comparison:
    here = implementation_named(f"bert4keras3-{pairing}")
    old = here._replace(name=here.name + BEFORE, before=commit)
    implementations = [old, here._replace(before=new), old._replace(name=old.name + CONTROL)]
    latencies: list[list[list[float]]] = [[], [], []]
    peaks: list[list[int]] = [[], [], []]
    counts: list[dict[str, int | None]] = []
    scenario = scenario._replace(lengths=(), leak_check_calls=0)
    for _ in range(repeats):
        run = InterleavedRun(scenario, mode, implementations, ROUNDS, LOGS, make_row)
        run.run()
        for i, row in enumerate(run.rows):
            if row.status != MEASURED:
                reason = f"{row.implementation} {row.status}: {row.reason}"
                return Comparison(scenario.name, mode, None, None, reason)
            peaks[i] += [row.peak_rss_bytes] if row.peak_rss_bytes else []
        for rounds, of_start in zip(latencies, fastest_calls(run.candidates), strict=True):
            rounds.append(of_start)
        counts = counts or [row.counts for row in run.rows]
    memory = compare(peaks[0], peaks[2], peaks[1]) if all(peaks) else None
    latency = compare(latencies[0], latencies[2], latencies[1])
    return Comparison(scenario.name, mode, latency, memory, counts=stable_changes(*counts))


def fastest_calls(candidates: list[Candidate]) -> list[list[float]]:
    """Seconds of the fastest call in each round: what else the machine does makes calls slower, never faster.

    Each candidate has as many chances in a round as the others.
    """
    rounds = list(zip(*(one.slices for one in candidates), strict=True))
    calls = [min(map(len, slices)) for slices in rounds]
    return [[min(seconds[:n]) for seconds, n in zip(one.slices, calls, strict=True)] for one in candidates]


def stable_changes(
    old: dict[str, int | None], new: dict[str, int | None], control: dict[str, int | None]
) -> dict[str, tuple[int, int]]:
    """The counts that differ, if two equal processes agree in them."""
    changed = changed_counts(old, new)
    return {what: pair for what, pair in changed.items() if old.get(what) == control.get(what)}


def turns_of(pairing: str, one: Comparison) -> tuple[list[Turn], list[str]]:
    """(what changed, what did not)."""
    name = (pairing, one.scenario, one.mode)
    if one.latency is None:
        return [Turn(name, f"not compared: {one.reason}", True)], []
    turns = [count_turn(name, one.counts)] if one.counts else []
    lines = []
    for what, change, unit in (("latency", one.latency, "s"), ("peak memory", one.memory, "B")):
        if change is None:
            continue
        words = f"{what} {describe(change, unit)}"
        if change.worse or change.better:
            turns.append(Turn(name, words, change.worse))
        else:
            lines.append(f"{' '.join(name)}, unchanged: {words}")
    return turns, lines


def describe(change: Change, unit: str) -> str:
    seen = "none up to 3 times" if change.smallest is None else f"{100 * (change.smallest - 1):.3g} %"
    numbers = f"{change.old:.4g} to {change.new:.4g} {unit}, ratio {change.ratio:.3f}, p {change.p:.2g}"
    return f"{numbers}; smallest change this run could have seen: {seen}"


def make_row(implementation: Implementation, scenario: Scenario, mode: str) -> Row:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Row("compare_commits", now, "", "", implementation.name, scenario.name, mode, "cpu", MEASURED)
