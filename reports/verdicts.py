"""What is known about a cell, wherever it was kept: a folder of results, a baseline, or a line of the history.

Two verdicts on one cell make a `Turn`. `python -m reports compare` and `nox -s regress` judge by the same turns.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple

from parity.compare import Cell
from parity.models.cases import CASES
from reports.results import RATIOS, is_set_apart, why_red

FACTOR = 2.0  # a ratio that has grown or shrunk as much has changed
SYSTEM_OF = {case.name: case.system for case in CASES}
Key = tuple[str, str]  # (pairing, case), or (pairing, system)


class Verdict(NamedTuple):
    """On a case in a pairing, or on all cases of a system.

    Attributes:
        system: of the case; a kind is its own system.
        red: why it is red, None if it is green.
        ratios: {name in RATIOS: error ratio}, without those that are unknown.
        layer: the layer that is named at fault.
        layers: {layer: error ratio} in the order of computation; empty where only the verdict was kept.
        cases: how many cases stand behind it.
    """

    system: str
    red: str | None = None
    ratios: dict[str, float] = {}
    layer: str | None = None
    layers: dict[str, float] = {}
    cases: int = 1


class Turn(NamedTuple):
    """What changed between two verdicts. worse: None if it is neither worse nor better."""

    key: tuple[str, ...]
    what: str
    worse: bool | None
    layer: str | None = None


def of_cells(cells: Iterable[Cell]) -> dict[Key, Verdict]:
    """Of the cells of a run, without those that are set apart because they flicker."""
    return {(cell.pairing, cell.case): of_cell(cell) for cell in cells if not is_set_apart(cell)}


def of_cell(cell: Cell) -> Verdict:
    ratios = {name: getattr(cell, name) for name in RATIOS if getattr(cell, name) is not None}
    layer = cell.root_cause_layer or cell.first_wrong_layer
    layers = {name: ratio for name, ratio in cell.layer_ratios.items() if ratio is not None}
    return Verdict(cell.system, why_red(cell), ratios, layer, layers)


def of_baseline(cells: dict[str, dict[str, Any]]) -> dict[Key, Verdict]:
    """Of the cells of reports/baseline.json."""
    return {
        (pairing, case): Verdict(SYSTEM_OF.get(case, case), row["red"], known_ratios(row))
        for pairing, rows in cells.items()
        for case, row in rows.items()
    }


def of_line(line: dict[str, Any]) -> Verdict:
    """Of a line of the history on a system: its red cases are counted, and have no ratio."""
    red = f"{line['red']} of {line['cases']} cases" if line["red"] else None
    return Verdict(line["system"], red, known_ratios(line), cases=line["cases"])


def known_ratios(row: dict[str, Any]) -> dict[str, float]:
    return {name: row[name] for name in RATIOS if row.get(name) is not None}


def by_system(verdicts: dict[Key, Verdict]) -> dict[Key, Verdict]:
    """The verdicts on whole systems, as the history keeps them."""

    def system(item: tuple[Key, Verdict]) -> Key:
        (pairing, _), verdict = item
        return pairing, verdict.system

    found = {}
    for key, group in groupby(sorted(verdicts.items(), key=system), system):
        ones = [verdict for _, verdict in group]
        red = sum(bool(one.red) for one in ones)
        ratios = [one.ratios["error_ratio"] for one in ones if not one.red and "error_ratio" in one.ratios]
        reason = f"{red} of {len(ones)} cases" if red else None
        largest = {"error_ratio": max(ratios)} if ratios else {}
        found[key] = Verdict(key[1], reason, largest, cases=len(ones))
    return found


def turns(old: dict[Key, Verdict], new: dict[Key, Verdict]) -> list[Turn]:
    """What changed in the cells that both sides have: worse first, in the order of the new side."""
    found = [turn for key in new if key in old for turn in turns_of(key, old[key], new[key])]
    return sorted(found, key=lambda turn: (not turn.worse, turn.worse is None))


def turns_of(key: Key, old: Verdict, new: Verdict) -> list[Turn]:
    if bool(old.red) != bool(new.red):
        what = f"newly red: {new.red}" if new.red else f"green again, it was red: {old.red}"
        return [Turn(key, what, bool(new.red), new.layer or old.layer)]
    if old.cases != new.cases:
        return [Turn(key, f"{old.cases} cases, now {new.cases}: not compared", None)]
    found = []
    for name, words in RATIOS.items():
        before, now = old.ratios.get(name), new.ratios.get(name)
        if before is None or now is None:
            continue
        worse, better = not now < FACTOR * before, now < before / FACTOR
        if before != now and (worse or better):
            what = f"error ratio of {words} from {before:.3g} to {now:.3g}"
            found.append(Turn(key, what, worse, changed_layer(old, new, worse)))
    if not found and old.red != new.red:
        found.append(Turn(key, f"red for another reason: {new.red}, it was: {old.red}", None, new.layer))
    return found


def changed_layer(old: Verdict, new: Verdict, worse: bool) -> str | None:
    """The first layer whose ratio changed by FACTOR; a layer at fault comes before it."""
    if new.layer and worse:
        return new.layer
    both = [name for name in new.layers if name in old.layers]
    first, last = (old.layers, new.layers) if worse else (new.layers, old.layers)
    return next((name for name in both if not last[name] < FACTOR * first[name]), None)
