"""What changed between A and B: cells that turned red or green, error ratios, layers, counts, and speed beside them.

    python -m reports compare A B [--markdown FILE] [--keep] [--speed PAIRING]

A and B are folders of results, baselines, pairings, versions or commits: see reports/sides.py. `--speed` measures the
library of two commits in one interleaved run: see reports/compare_commits.py. Exits with 1 if something is worse, or
if nothing was compared.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markdown import Markdown

from parity.store import append_lines, write_whole
from reports import compare_commits
from reports.history import CHANGE, identity
from reports.markdown import pipe_table, plain
from reports.results import SCHEMA, read_results, repeat_command
from reports.sides import Side, aligned, find_side
from reports.speed_turns import count_turns, time_turns
from reports.verdicts import Turn, turns

MARK = "<!-- bert4keras3: compare -->"  # by it the comment of a pull request is found again
SHOWN = 50  # rows of a table: a comment holds 65536 characters


class Comparison(NamedTuple):
    """Two sides compared. cells, speeds: how many stand on both sides; lines: what did not change or
    was not compared, and why."""

    old: Side
    new: Side
    parity: list[Turn]
    speed: list[Turn]
    cells: int
    speeds: int
    lines: list[str]

    @property
    def turns(self) -> list[Turn]:
        return self.parity + self.speed

    @property
    def worse(self) -> int:
        return sum(turn.worse is True for turn in self.turns)

    @property
    def compared(self) -> bool:
        return bool(self.cells or self.speeds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("old", metavar="A", help="a folder of results, a baseline, a pairing, a version, or a commit")
    add("new", metavar="B", help="the same, newer")
    add("--markdown", type=Path, metavar="FILE", help="also write it as Markdown, for a comment")
    add("--keep", action="store_true", help="keep it in the history of --results, for the feed")
    add("--speed", metavar="PAIRING", nargs="+", default=[], help="measure two commits in these pairings")


def run(options: argparse.Namespace, console: Console) -> int:
    try:
        old, new = (find_side(name, options.results) for name in (options.old, options.new))
        measured = measure(options.speed, old, new)
    except ValueError as error:
        console.print(f"[red]{error}[/]", highlight=False, soft_wrap=True)
        return 1
    found = compare(old, new, measured)
    text = markdown(found)
    console.print(Markdown(text))
    if options.markdown:
        write_whole(options.markdown, lambda file: file.write(text.encode("utf-8")))
    if options.keep:
        keep(options.results, found)
    return int(found.worse > 0 or not found.compared)


def compare(old: Side, new: Side, measured: Sequence[tuple[list[Turn], list[str]]] = ()) -> Comparison:
    """measured: what `measure` returned."""
    old, new = aligned(old, new)
    speed = [turn for turns, _ in measured for turn in turns] + count_turns(old.rows, new.rows)
    times, speeds = time_turns(old.rows, new.rows)
    lines = [line for _, lines in measured for line in lines] + not_compared(old, new)
    cells = sum(key in old.verdicts for key in new.verdicts)
    parity = turns(old.verdicts, new.verdicts)
    return Comparison(old, new, parity, speed + times, cells, speeds + len(measured), lines)


def not_compared(old: Side, new: Side) -> list[str]:
    """What only one side has, pairing by pairing; a pairing that lost its cells says why."""
    lines = []
    for here, there, word in ((old, new, "are absent in B"), (new, old, "are new in B")):
        only = Counter(pairing for pairing, case in here.verdicts if (pairing, case) not in there.verdicts)
        left = {pairing for pairing, _ in there.verdicts}
        for pairing, count in only.items():
            reason = "" if pairing in left else f": {there.absent.get(pairing, 'not run')}"
            unit = "systems" if old.whole_systems else "cells"
            lines.append(f"{pairing}: {count} {unit} {word}{reason}")
    return lines


def measure(pairings: list[str], old: Side, new: Side) -> list[tuple[list[Turn], list[str]]]:
    """What changed and what did not when two commits are measured. Raises ValueError if they are no commits."""
    if pairings and not (old.commit and new.commit):
        raise ValueError(f"--speed measures two commits: {old.name if new.commit else new.name} is none")
    return [
        compare_commits.turns_of(pairing, one)
        for pairing in pairings
        for one in compare_commits.measure(pairing, str(old.commit), new=new.commit)
    ]


def markdown(found: Comparison) -> str:
    """Only what changed."""
    parts = [MARK, f"### {plain(found.old.name)} → {plain(found.new.name)}", summary(found)]
    if found.parity:
        parts.append(table(["cell", "change", "layer", "repeat"], [parity_row(one) for one in found.parity]))
    if found.speed:
        parts.append(table(["speed and counts", "change"], [speed_row(one) for one in found.speed]))
    if found.lines:
        parts.append("\n".join(["Notes:", "", *(f"* {plain(line)}" for line in found.lines[:SHOWN])]))
    return "\n\n".join(parts) + "\n"


def summary(found: Comparison) -> str:
    unit = "systems" if found.old.whole_systems else "cells"
    compared = f"{found.cells} {unit} and {found.speeds} speeds compared"
    if not found.compared:
        return "🔴 **Nothing was compared**: the two sides have no cell and no speed in common."
    if not found.turns:
        return f"🟢 **Nothing changed**: {compared}."
    return f"{'🔴' if found.worse else '🟢'} **{title(found)}**; {compared}."


def title(found: Comparison) -> str:
    """How much changed, in a few words."""
    better = sum(turn.worse is False for turn in found.turns)
    others = len(found.turns) - found.worse - better
    numbers = ((found.worse, "worse"), (better, "better"), (others, "neither"))
    return ", ".join(f"{count} {word}" for count, word in numbers if count) or "nothing changed"


def table(header: list[str], rows: list[list[str]]) -> str:
    more = f"\n\n… and {len(rows) - SHOWN} more." if len(rows) > SHOWN else ""
    return pipe_table(header, rows[:SHOWN]) + more


def parity_row(turn: Turn) -> list[str]:
    pairing, case = turn.key
    command = repeat_command(pairing, case)
    return [f"{sign(turn)} {pairing} {case}", turn.what, turn.layer or "", f"`{command}`"]


def speed_row(turn: Turn) -> list[str]:
    return [f"{sign(turn)} {' '.join(turn.key)}", turn.what]


def sign(turn: Turn) -> str:
    return {True: "🔴", False: "🟢", None: "⚪"}[turn.worse]


def keep(folder: Path, found: Comparison) -> None:
    """Append the comparison to the history, once, if something changed: the feed tells of it."""
    if not found.turns:
        return
    lines = []
    for turn in found.turns:
        layer = f" ({turn.layer})" if turn.layer else ""
        lines.append(f"{sign(turn)} {' '.join(turn.key)}: {turn.what}{layer}")
    sides = {"old": found.old.name, "new": found.new.name}
    line = {"kind": CHANGE, "started": found.new.started, "title": title(found), **sides, "lines": lines}
    if identity(line) not in {identity(one) for one in read_results(folder).history}:
        append_lines(folder / "history.jsonl", [line], SCHEMA)
