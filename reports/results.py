"""What a run left behind, read for every kind of report: cells of parity, rows of the bench, and their history.

    results/cells/<pairing>.json    the cells of a pairing as they were judged last, or why there are none
    results/peers/cells/<name>.json the cells of another library, and why others are absent
    results/bench/<run>.jsonl       rows of the bench, see bench/rows.py
    results/history.jsonl           one line for each pairing and system, or row of the bench, and run

Whatever is not here is named as absent. A cell is green only where its numbers say so.
"""

import math
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from bench.rows import Row, current_names, read_rows
from pairings import PAIRINGS, Pairing, find, find_interpreter, in_order, known, session_command
from parity.compare import BOUND, Cell
from parity.kinds import KINDS_BY_NAME
from parity.store import RESULTS, read_json, read_lines, write_json
from reports.flickering import PATH, flickering

SCHEMA = 1  # of the history
CELL_SCHEMA = 3
PEER_SCHEMA = 1
# The ratios of a cell, and what they are of.
RATIOS = {"error_ratio": "outputs", "gradient_ratio": "gradients", "losses_ratio": "losses"}


class Peer(NamedTuple):
    """Another library, apart from our pairings. absent: {case: why it computed nothing}."""

    name: str
    cells: list[Cell]
    absent: dict[str, str]


class Results(NamedTuple):
    """absent: {pairing: why it has no cells}. history: lines as `history.py` writes them."""

    cells: list[Cell]
    absent: dict[str, str]
    rows: list[Row]
    history: list[dict[str, Any]]
    peers: list[Peer] = []

    @property
    def pairings(self) -> list[Pairing]:
        """The columns of tables: the registry's pairings, and the variants that were run."""
        names = {*self.absent, *(cell.pairing for cell in self.cells)}
        return in_order({one.name: one for one in (*PAIRINGS, *known(names))}.values())


def read_results(folder: Path = RESULTS) -> Results:
    cells: list[Cell] = []
    absent = {}
    run = {path.stem for path in (folder / "cells").glob("*.json")}
    for pairing in known({*run, *(one.name for one in PAIRINGS)}):
        found = read_cells(folder, pairing.name)
        if isinstance(found, str):
            absent[pairing.name] = found
        else:
            cells += found
    rows = [row for path in sorted((folder / "bench").glob("*.jsonl")) for row in read_rows(path)]
    history = folder / "history.jsonl"
    lines = read_lines(history, SCHEMA) if history.exists() else []
    return Results(cells, absent, rows, [current_names(line) for line in lines], read_peers(folder))


def cells_path(folder: Path, pairing: str) -> Path:
    return folder / "cells" / f"{pairing}.json"


def write_cells(folder: Path, pairing: str, cells: list[Cell]) -> None:
    """Keep the verdicts on a pairing. Ratios that are no numbers become null; layers stay in their order."""
    content = {"schema": CELL_SCHEMA, "pairing": pairing, "cells": rows_of(cells)}
    write_json(cells_path(folder, pairing), content)


def rows_of(cells: list[Cell]) -> list[dict[str, Any]]:
    """Cells as JSON keeps them."""
    rows = []
    for cell in cells:
        row = {name: finite(value) for name, value in cell._asdict().items()}
        row["layer_ratios"] = [[layer, finite(ratio)] for layer, ratio in cell.layer_ratios.items()]
        rows.append(row)
    return rows


def cells_from(rows: list[dict[str, Any]]) -> list[Cell]:
    return [Cell(**dict(row, layer_ratios=dict(row["layer_ratios"]))) for row in rows]


def read_cells(folder: Path, pairing: str) -> list[Cell] | str:
    """The cells of a pairing, or why there are none."""
    path = cells_path(folder, pairing)
    if not path.exists():
        return why_not_run(find(pairing).python)
    content = read_json(path)
    if content["schema"] > CELL_SCHEMA:
        found = f"{path}: schema {content['schema']}"
        raise ValueError(f"{found}, expected at most {CELL_SCHEMA}: update this checkout")
    if not content.get("cells"):
        return content.get("absent") or "no case was judged"
    if content["schema"] < CELL_SCHEMA:
        return "judged by an older checkout: run it again"
    return cells_from(content["cells"])


@cache
def why_not_run(python: str) -> str:
    return "not run" if find_interpreter(python) else f"not run: this machine lacks Python {python}"


def cells_folder(results: Path) -> Path:
    return results / "peers" / "cells"


def write_peer(results: Path, peer: Peer) -> None:
    content = {"schema": PEER_SCHEMA, "implementation": peer.name, "cells": rows_of(peer.cells)}
    write_json(cells_folder(results) / f"{peer.name}.json", content | {"absent": peer.absent})


def read_peers(results: Path) -> list[Peer]:
    """All that were judged. Raises ValueError for a file of a newer checkout."""
    peers = []
    for path in sorted(cells_folder(results).glob("*.json")):
        content = read_json(path)
        if content["schema"] > PEER_SCHEMA:
            raise ValueError(
                f"{path}: schema {content['schema']}, expected at most {PEER_SCHEMA}: update this checkout"
            )
        peers.append(Peer(content["implementation"], cells_from(content["cells"]), content["absent"]))
    return peers


def finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def why_red(cell: Cell) -> str | None:
    """Why a cell is red, None where it is green. A cell that is listed as flickering is red when it passes, too."""
    red, entry = why_judged_red(cell), flickering().get((cell.pairing, cell.case))
    if entry is None:
        return red
    if red:
        return f"{red}; set apart since {entry.failed_again}: {entry.issue}"
    return f"passes, and is listed as flickering: remove its entry from reports/{PATH.name} ({entry.issue})"


def is_set_apart(cell: Cell) -> bool:
    """Whether a cell is red and listed as flickering: it is shown, and fails no run."""
    return (cell.pairing, cell.case) in flickering() and why_judged_red(cell) is not None


def why_judged_red(cell: Cell) -> str | None:
    """Why a cell is red by its numbers: nothing compared, or no number, is red here too."""
    if cell.red:
        return "; ".join(filter(None, [cell.red, cell.explanation]))
    kind = KINDS_BY_NAME.get(cell.case)
    if kind and not (cell.judged and cell.judged == cell.green):
        return f"{cell.green} of {cell.judged} green"
    if kind and kind.exact:
        return None
    if cell.error_ratio is None or not cell.error_ratio <= BOUND:
        return f"error ratio {cell.error_ratio}, expected at most {BOUND:g}"
    for name in RATIOS:
        ratio = getattr(cell, name)
        if ratio is not None and not ratio <= BOUND:
            return f"{RATIOS[name]}: error ratio {ratio}, expected at most {BOUND:g}"
    return None


def count(cell: Cell) -> str:
    """Of a kind, what was compared: "115 of 115, worst 1.28"; empty for a case of a system."""
    if cell.judged is None:
        return ""
    worst = "" if cell.error_ratio is None else f", worst {cell.error_ratio:.2f}"
    return f"{cell.green} of {cell.judged}{worst}"


def repeat_command(pairing: str, *cases: str) -> str:
    return session_command("parity", pairing, *(f"--case {case}" for case in cases))
