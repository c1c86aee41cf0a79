"""What changed between rows of the bench: how they ended, what they count, their times and memory.

Counts have no noise: every difference is shown. Times of two runs were not interleaved. They are shown where they are
further apart than THRESHOLD, than twice the run's own A/A control, and than a rank test allows; none is judged.
"""

from typing import Any

import numpy as np
from scipy import stats

from bench.implementations import BEFORE, CONTROL
from bench.rows import ABSENT, MEASURED, Row
from reports.formatting import significant
from reports.statistics import ALPHA
from reports.tables import measured
from reports.verdicts import Turn

THRESHOLD = 0.1
MOST = 5  # names of operations in one line
Key = tuple[str, ...]


def newest(rows: list[Row]) -> dict[Key, Row]:
    """The newest row of each thing that is measured, of ours alone and without controls."""
    ordered = sorted(rows, key=lambda row: (row.started, row.run))
    return {key(row): row for row in ordered if not row.implementation.endswith((CONTROL, BEFORE))}


def key(row: Row) -> Key:
    return row.implementation, row.scenario, row.mode, row.device


def pairs(old: list[Row], new: list[Row]) -> list[tuple[Key, Row, Row]]:
    """What stands on both sides; an implementation that a machine lacks was not compared."""
    before = newest(old)
    both = [(name, before[name], row) for name, row in newest(new).items() if name in before]
    return [one for one in both if ABSENT not in (one[1].status, one[2].status)]


def count_turns(old: list[Row], new: list[Row]) -> list[Turn]:
    """Rows that ended in another way, and counts that differ."""
    found = []
    for name, before, now in pairs(old, new):
        if before.status != now.status:
            reason = f": {now.reason}" if now.reason else ""
            what = f"{before.status}, now {now.status}{reason}"
            found.append(Turn(name, what, now.status != MEASURED))
        elif changed := {**changed_counts(before.counts, now.counts), **changed_compilations(before, now)}:
            found.append(count_turn(name, changed))
    return found


def changed_compilations(old: Row, new: Row) -> dict[str, tuple[int, int]]:
    if old.compilations is None or new.compilations is None or old.compilations == new.compilations:
        return {}
    return {"compilations": (old.compilations, new.compilations)}


def changed_counts(old: dict[str, int | None], new: dict[str, int | None]) -> dict[str, tuple[int, int]]:
    """{name: (old, new)} of the counts that differ; nothing if one side has none, or one in which calls differ."""
    found = {}
    for name in {**old, **new} if old and new else {}:
        before, now = old.get(name, 0), new.get(name, 0)
        if before is not None and now is not None and before != now:
            found[name] = (before, now)
    return found


def count_turn(name: Key, changed: dict[str, tuple[int, int]]) -> Turn:
    """The counts that changed most come first. More of something is shown as neither: it may be a better thing."""
    ordered = sorted(changed.items(), key=lambda item: -abs(np.log((item[1][1] + 1) / (item[1][0] + 1))))
    words = [f"{what} {before} → {now}" for what, (before, now) in ordered[:MOST]]
    more = f", and {len(ordered) - MOST} more counts" if len(ordered) > MOST else ""
    return Turn(name, ", ".join(words) + more, None)


def time_turns(old: list[Row], new: list[Row]) -> tuple[list[Turn], int]:
    """Times and memory that are far apart, and how many rows were compared."""
    found, noise = [], max(control_noise(old), control_noise(new))
    both = [one for one in pairs(old, new) if measured(one[1]) and measured(one[2])]
    for name, before, now in both:
        words = [apart(before.latency_seconds, now.latency_seconds, noise), memory_apart(before, now)]
        if any(words):
            note = ", ".join([*filter(None, words), *circumstances(before, now)])
            found.append(Turn(name, note, None))
    return found, len(both)


def control_noise(rows: list[Row]) -> float:
    """The largest |log ratio| of an implementation and its A/A control in one run."""
    by_name = {(row.run, *key(row)): row for row in rows if measured(row)}
    noise = [0.0]
    for (run, implementation, *rest), row in by_name.items():
        control: Any = by_name.get((run, implementation + CONTROL, *rest))
        if control is not None:
            ratio = np.median(row.latency_seconds) / np.median(control.latency_seconds)
            noise.append(abs(float(np.log(ratio))))
    return max(noise)


def apart(old: list[float], new: list[float], noise: float) -> str | None:
    """The medians, if they are further apart than chance and the noise of the runs."""
    before, now = float(np.median(old)), float(np.median(new))
    far = abs(np.log(now / before)) > max(np.log(1 + THRESHOLD), 2 * noise)
    if not far or (min(len(old), len(new)) > 1 and stats.mannwhitneyu(old, new).pvalue >= ALPHA):
        return None
    return f"latency {significant(before, 1e3)} → {significant(now, 1e3)} ms, {now / before:.2f} times"


def memory_apart(old: Row, new: Row) -> str | None:
    before, now = old.peak_rss_bytes, new.peak_rss_bytes
    if not before or not now or abs(np.log(now / before)) <= np.log(1 + THRESHOLD):
        return None
    return f"peak memory {before / 1e6:.0f} → {now / 1e6:.0f} MB, {now / before:.2f} times"


def circumstances(old: Row, new: Row) -> list[str]:
    """Why the times may differ by more than the code."""
    if old.run == new.run:
        return []
    machines = [row.settings.get("processor") or "unknown processor" for row in (old, new)]
    return ["not interleaved", *([f"{machines[0]}, now {machines[1]}"] if machines[0] != machines[1] else [])]
