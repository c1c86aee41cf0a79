"""Has something become worse than in the committed baseline? Accuracy, systems at full size, and on request commits.

A cell is worse if it was green and is red, or if a ratio has doubled. A figure of a system is worse beyond its limit in
LIMITS; times count relative to the machine's own matmuls in the same run. Between two commits a time or a memory is
worse if a rank test and a practical threshold both call it larger. The report names what was not compared; if nothing
was compared, it fails.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console

from bench.rows import MEASURED
from bench.scenarios import YARDSTICK
from pairings import NIGHTLY, PAIRINGS
from pairings.shards import read_seconds
from parity.compare import Cell
from parity.store import RESULTS, read_json, write_json
from reports import compare_commits
from reports.results import RATIOS, SCHEMA, Results, finite, read_results, repeat_command, why_red
from reports.speed_turns import count_turn
from reports.statistics import Change
from reports.tables import ABSENT, system_table
from reports.verdicts import of_baseline, of_cells, turns

BASELINE = Path(__file__).parent / "baseline.json"


class Limit(NamedTuple):
    """A figure is worse if it is `factor` times the old one and `least` more. relative: to the run's yardstick."""

    what: str
    unit: str
    factor: float
    least: float
    relative: bool = True


# Column of the table of systems → when it is worse. The fastest call and the yardstick, the least time of matmuls, are
# both least times: other programs disturb them less than medians.
LIMITS = {
    "load_seconds": Limit("load time", "s", 2.0, 1.0),
    "first_call_seconds": Limit("first call", "s", 2.0, 1.0),
    "least": Limit("fastest call", "s", 1.5, 0.01),
    "memory_bytes": Limit("peak memory", "B", 1.2, 64e6, relative=False),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--baseline", type=Path, default=BASELINE)
    add("--update", action="store_true", help="make this run the baseline, in place of comparing")
    add("--speed", metavar="PAIRING", nargs="+", help="also time these against the baseline's commit")
    add("--against", metavar="COMMIT", help="another commit to time against")
    add("--repeats", type=int, help="how often its processes are started anew")


def run(options: argparse.Namespace, console: Console) -> int:
    results = read_results(options.results)
    if options.update:
        write_baseline(results, options.baseline, options.results)
        counts = f"{len(results.cells)} cells, {len(system_table(results.rows))} rows of systems"
        console.print(f"{options.baseline}: {counts}", highlight=False, soft_wrap=True)
        return 0
    if not options.baseline.exists():
        console.print(f"[red]no baseline {options.baseline}: `nox -s regress -- --update` writes one[/]")
        return 1
    baseline = read_json(options.baseline)
    worse = report_results(baseline, results, console)
    for pairing in options.speed or ():
        commit = options.against or (baseline["commits"].get(pairing) or "").rstrip("+")
        worse = report_speed(pairing, commit, options.repeats, console) or worse
    return int(worse)


def report_results(baseline: dict[str, Any], results: Results, console: Console) -> bool:
    """Print what is worse; whether something is, or nothing was compared."""
    cells, old_systems, table = baseline["cells"], baseline.get("systems", {}), system_table(results.rows)
    accuracies, compared = accuracy(cells, results.cells)
    figures, systems_compared = system_figures(old_systems, table)
    for what, command in accuracies + figures:
        console.print(f"[red]{what}[/]  {command}", highlight=False, soft_wrap=True)
    for line in not_compared(cells, results) + systems_not_compared(old_systems, table):
        console.print(f"[dim]{line}[/]", highlight=False)
    console.print(f"accuracy: {compared} cells compared, {len(accuracies)} worse", highlight=False)
    words = f"{systems_compared} rows compared, {len(figures)} figures worse"
    console.print(f"systems at full size: {words}", highlight=False)
    if not compared + systems_compared:
        console.print("[red]nothing was compared: run parity first, as by `nox -s parity-jax`[/]")
    return bool(accuracies or figures) or not compared + systems_compared


def report_speed(pairing: str, commit: str, repeats: int | None, console: Console) -> bool:
    """Measure and print, with the smallest change that this run could have seen."""
    if not commit:
        console.print(f"[red]{pairing}: the baseline names no commit of it; --against COMMIT does[/]")
        return True
    worse = False
    for one in compare_commits.measure(pairing, commit, repeats=repeats or compare_commits.REPEATS):
        name = f"{pairing} {one.scenario} {one.mode}"
        if one.latency is None:
            console.print(f"[red]{name}: not compared: {one.reason}[/]", highlight=False)
            worse = True
        if one.counts:
            words = count_turn((pairing, one.scenario, one.mode), one.counts).what
            console.print(f"{name}: counts changed: {words}", highlight=False, soft_wrap=True)
        for what, change, unit in (("latency", one.latency, "s"), ("peak memory", one.memory, "B")):
            if change is not None:
                console.print(change_line(f"{name}, {what}", change, unit), highlight=False, soft_wrap=True)
                worse = worse or change.worse
    return worse


def change_line(name: str, change: Change, unit: str) -> str:
    colour, word = ("red", "worse") if change.worse else ("green", "no change")
    return f"[{colour}]{name}: {word}[/]: {compare_commits.describe(change, unit)}"


def write_baseline(results: Results, path: Path, folder: Path = RESULTS) -> None:
    """The ratios of the registry's pinned pairings in this run; pairings that it lacks keep those they have.

    folder: of the results, with the seconds of a nightly run.
    """
    old = read_json(path) if path.exists() else {}
    cells: dict[str, Any] = old.get("cells", {})
    kept = [one.name for one in PAIRINGS + NIGHTLY if not one.unpinned]
    results = results._replace(cells=[cell for cell in results.cells if cell.pairing in kept])
    for pairing in dict.fromkeys(cell.pairing for cell in results.cells):
        cells[pairing] = {cell.case: ratios(cell) for cell in results.cells if cell.pairing == pairing}
    commits = {**old.get("commits", {}), **{cell.pairing: cell.commit for cell in results.cells}}
    systems: dict[str, Any] = old.get("systems", {})
    for row in measured_systems(system_table(results.rows)):
        figures = {name: float(f"{row[name]:.4g}") for name in [*LIMITS, "yardstick_seconds"] if row[name]}
        systems.setdefault(row["pairing"], {})[row["system"]] = figures
    seconds = {**old.get("seconds", {}), **read_seconds(folder)}
    baseline = {"schema": SCHEMA, "commits": commits, "cells": cells, "systems": systems, "seconds": seconds}
    write_json(path, baseline)


def measured_systems(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows that have figures; a figure that is missing is None."""
    rows = table[table["p50"].notna()].astype(object)
    return rows.where(rows.notna(), None).to_dict("records")


def system_figures(
    baseline: dict[str, dict[str, Any]], table: pd.DataFrame
) -> tuple[list[tuple[str, str]], int]:
    """[(what is worse, command that repeats it)], and how many rows stand in both.

    A system that was measured and is wrong or failed now is worse; one that is absent is not compared.
    """
    found, compared = [], 0
    for row in table[table["status"] != ABSENT].to_dict("records"):
        old = baseline.get(row["pairing"], {}).get(row["system"])
        if old is None:
            continue
        compared += 1
        name = f"{row['pairing']} {row['system']} at full size"
        if row["status"] != MEASURED:
            found.append((f"{name}: {row['status']}: {row['reason']}", row["command"]))
            continue
        worse = [words for column in LIMITS if (words := larger(column, old, row))]
        found += [(f"{name}: {words}", row["command"]) for words in worse]
    return found, compared


def larger(column: str, old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """By how much a figure is beyond its limit, in words. Without a yardstick on both sides no time is compared."""
    limit, scale = LIMITS[column], 1.0
    if limit.relative:
        scale = new["yardstick_seconds"] / (old.get("yardstick_seconds") or float("nan"))
    before, now = old.get(column, float("nan")) * scale, new[column]
    if not now > max(limit.factor * before, before + limit.least):
        return None
    here = " on this machine" if limit.relative else ""
    return f"{limit.what} {now:.4g} {limit.unit}, from {before:.4g}{here}: {now / before:.2f} times"


def systems_not_compared(baseline: dict[str, dict[str, Any]], table: pd.DataFrame) -> list[str]:
    """Pairings and systems of the baseline that have no row here, or none that counts."""
    lines = []
    for pairing, systems in baseline.items():
        here = table[(table["pairing"] == pairing) & (table["status"] != ABSENT)]
        missing = len(set(systems) - set(here["system"]))
        if missing:
            lines.append(f"{pairing}: {missing} systems of the baseline were not measured at full size")
        if len(here) and here["yardstick_seconds"].isna().any():
            lines.append(f"{pairing}: times of systems not compared: the run lacks {YARDSTICK}'s roofline")
    return lines


def ratios(cell: Cell) -> dict[str, Any]:
    """The verdict on a cell; of a kind also how many of its cases were judged and are green."""
    counts = {} if cell.judged is None else {"judged": cell.judged, "green": cell.green}
    return {"red": why_red(cell), **{name: finite(getattr(cell, name)) for name in RATIOS}, **counts}


def accuracy(baseline: dict[str, dict[str, Any]], cells: list[Cell]) -> tuple[list[tuple[str, str]], int]:
    """[(what is worse, command that repeats it)], and how many cells stand in both."""
    old, new = of_baseline(baseline), of_cells(cells)
    worse = [turn for turn in turns(old, new) if turn.worse]
    found = [(f"{' '.join(turn.key)}: {turn.what}", repeat_command(*turn.key)) for turn in worse]
    return found, sum(key in old for key in new)


def not_compared(baseline: dict[str, dict[str, Any]], results: Results) -> list[str]:
    """What only one side has: cells of the baseline that were not run, and new ones."""
    lines, nightly = [], {one.name for one in NIGHTLY}
    for pairing, cases in baseline.items():
        here = {cell.case for cell in results.cells if cell.pairing == pairing}
        if not here and pairing in nightly:
            continue
        if not here:
            lines.append(f"{pairing}: not compared: {results.absent.get(pairing, 'not run')}")
        elif set(cases) - here:
            lines.append(f"{pairing}: {len(set(cases) - here)} cases of the baseline were not run")
    new = [cell for cell in results.cells if cell.case not in baseline.get(cell.pairing, {})]
    return lines + ([f"{len(new)} cells are not in the baseline yet"] if new else [])
