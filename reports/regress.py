"""Has something become worse than in the committed baseline? Accuracy is compared, and on request speed and memory.

A cell is worse if it was green and is red, or if a ratio has doubled. A time or a memory is worse if a rank test and a
practical threshold both call it larger. The report names what was not compared; if nothing was compared, it fails.
"""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from parity.compare import Cell
from parity.store import read_json, write_json
from reports import compare_commits
from reports.results import RATIOS, SCHEMA, Results, finite, read_results, repeat_command, why_red
from reports.speed_turns import count_turn
from reports.statistics import Change
from reports.verdicts import of_baseline, of_cells, turns

BASELINE = Path(__file__).parent / "baseline.json"


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
        write_baseline(results, options.baseline)
        console.print(f"{options.baseline}: {len(results.cells)} cells", highlight=False, soft_wrap=True)
        return 0
    if not options.baseline.exists():
        console.print(f"[red]no baseline {options.baseline}: `nox -s regress -- --update` writes one[/]")
        return 1
    baseline = read_json(options.baseline)
    worse = report_accuracy(baseline["cells"], results, console)
    for pairing in options.speed or ():
        commit = options.against or (baseline["commits"].get(pairing) or "").rstrip("+")
        worse = report_speed(pairing, commit, options.repeats, console) or worse
    return int(worse)


def report_accuracy(baseline: dict[str, Any], results: Results, console: Console) -> bool:
    """Print what is worse; whether something is, or nothing was compared."""
    found, compared = accuracy(baseline, results.cells)
    for what, command in found:
        console.print(f"[red]{what}[/]  {command}", highlight=False, soft_wrap=True)
    for line in not_compared(baseline, results):
        console.print(f"[dim]{line}[/]", highlight=False)
    console.print(f"accuracy: {compared} cells compared, {len(found)} worse", highlight=False)
    if not compared:
        console.print("[red]nothing was compared: run parity first, as by `nox -s parity-jax`[/]")
    return bool(found) or not compared


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


def write_baseline(results: Results, path: Path) -> None:
    """The ratios of this run; pairings that it lacks keep those they have."""
    old = read_json(path) if path.exists() else {}
    cells: dict[str, Any] = old.get("cells", {})
    for pairing in dict.fromkeys(cell.pairing for cell in results.cells):
        cells[pairing] = {cell.case: ratios(cell) for cell in results.cells if cell.pairing == pairing}
    commits = {**old.get("commits", {}), **{cell.pairing: cell.commit for cell in results.cells}}
    write_json(path, {"schema": SCHEMA, "commits": commits, "cells": cells})


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
    lines = []
    for pairing, cases in baseline.items():
        here = {cell.case for cell in results.cells if cell.pairing == pairing}
        if not here:
            lines.append(f"{pairing}: not compared: {results.absent.get(pairing, 'not run')}")
        elif set(cases) - here:
            lines.append(f"{pairing}: {len(set(cases) - here)} cases of the baseline were not run")
    new = [cell for cell in results.cells if cell.case not in baseline.get(cell.pairing, {})]
    return lines + ([f"{len(new)} cells are not in the baseline yet"] if new else [])
