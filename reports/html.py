"""One page with everything in it: the matrix, each cell's details, speed and memory, history. It fetches nothing.

Data and the charts' library lie in it compressed; the library is unpacked when the first chart comes into view.
"""

import base64
import gzip
import json
import math
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import vl_convert

from parity.compare import BOUND
from parity.models.releases import SYSTEM_TITLES
from parity.store import ROOT, write_whole
from reports import charts
from reports.formatting import SYSTEM_FIGURES, milliseconds, number, significant
from reports.peers import CAPTION as PEERS_CAPTION
from reports.peers import page_rows, reasons
from reports.results import RATIOS, Results, finite, repeat_command
from reports.tables import (
    ABSENT,
    ALLOWED,
    RED,
    STATUSES,
    cell_table,
    columns_of,
    is_of_system,
    judged_cells,
    matrix,
    speed_table,
    system_table,
)

PAGE = Path(__file__).parent / "page"
# Ratios are coloured on a logarithmic scale between these two.
COOL, WARM = 1.0, BOUND
SLOW = 4.0  # times the least figure of a system: as warm as a ratio gets


def write_html(results: Results, path: Path) -> None:
    options: dict[str, Any] = dict(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(PAGE), **options)
    environment.filters.update(heat=heat, milliseconds=milliseconds, number=number, significant=significant)
    environment.globals.update(source=lambda name: (PAGE / name).read_text(encoding="utf-8"), compact=compact)
    text = environment.get_template("report.html").render(**page(results), vega=vega())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def page(results: Results) -> dict[str, Any]:
    """What the template shows."""
    cells = cell_table(results)
    speed = speed_table([row for row in results.rows if not is_of_system(row)])
    systems = system_table(results.rows)
    table = matrix(cells)
    status = cells["status"].value_counts()
    history = charts.history_charts(results.history)
    specs = {"layers": charts.layer_chart()}
    groups = speed_groups(speed, specs)
    specs.update({f"history-{i}": chart for i, chart in enumerate(history.values())})
    return {
        "bound": BOUND,
        "pairings": [(one, results.absent.get(one.name)) for one in results.pairings],
        "titles": SYSTEM_TITLES,
        "systems": list(dict.fromkeys(table["system"])),
        "matrix": {(row["system"], row["pairing"]): row for row in records(table)},
        "figures": {header: figures(systems, *SYSTEM_FIGURES[header]) for header in SYSTEM_FIGURES},
        "columns": columns_of(systems),
        "unmeasured": records(systems[systems["p50"].isna()]),
        "system_runs": sorted(set(systems["run"])),
        "count": {name: int(status.get(name, 0)) for name in STATUSES},
        "red": red_groups(cells[cells["status"] == RED]),
        "allowed": red_groups(cells[cells["status"] == ALLOWED]),
        "commits": sorted({cell.commit for cell in results.cells if cell.commit}),
        "recorded": max((cell.recorded for cell in results.cells if cell.recorded), default=None),
        "processors": sorted({str(name) for name in cells["processor"].dropna()}),
        "peers": [peer.name for peer in results.peers],
        "peers_caption": PEERS_CAPTION,
        "peer_rows": page_rows(results.peers),
        "peer_reasons": reasons(results.peers),
        "speed": records(speed),
        "groups": groups,
        "history": list(history),
        "data": packed(json.dumps(page_data(results, cells) | {"charts": specs}, allow_nan=False)),
    }


def compact(counted: str) -> str:
    """A count for a narrow column: "172" of "172 of 172", and "170/172"."""
    green, total = counted.split(" of ")
    return total if green == total else f"{green}/{total}"


def figures(systems: pd.DataFrame, column: str, show: Callable[[float | None], str]) -> dict[str, Any]:
    """{system: {pairing: entry}} of one figure. The heat of an entry is against the least of its system."""
    entries: dict[str, dict[str, Any]] = {}
    for system, rows in systems.groupby("system", sort=False):
        least = COOL if column == "error_ratio" else rows[column].min()
        warm = BOUND if column == "error_ratio" else SLOW
        entries[str(system)] = {
            row["pairing"]: row | {"text": show(row[column]), "heat": heat(row[column], least, least * warm)}
            for row in records(rows)
        }
    return entries


def red_groups(red: pd.DataFrame) -> list[dict[str, Any]]:
    """Each reason of a pairing once, with its cases, their replays, and the command that repeats them."""
    return [
        {
            "pairing": str(pairing),
            "reason": str(reason),
            "cases": list(rows["case"]),
            "replays": list(rows["replay"].dropna()),
            "command": repeat_command(str(pairing), *rows["case"]),
        }
        for (pairing, reason), rows in red.groupby(["pairing", "reason"], sort=False)
    ]


def speed_groups(speed: pd.DataFrame, specs: dict[str, Any]) -> list[dict[str, Any]]:
    """A pair of charts for what was measured side by side; their specifications go to `specs`."""
    groups = []
    keys = ["scenario", "mode", "device", "run"]
    for i, ((scenario, mode, device, run), rows) in enumerate(speed.groupby(keys, sort=False)):
        specs[f"latency-{i}"] = charts.latency_chart(rows)
        specs[f"memory-{i}"] = charts.memory_chart(rows)
        roofline = rows["roofline_seconds"].min()
        group = {"title": f"{scenario} · {mode} · {device}", "run": run, "commit": rows["commit"].iloc[0]}
        roofline = None if pd.isna(roofline) else float(roofline)
        groups.append({**group, "rows": len(rows), "roofline": roofline})
    return groups


def page_data(results: Results, cells: pd.DataFrame) -> dict[str, Any]:
    """What the page needs to tell each cell's details, each thing once."""
    ratios = {(cell.pairing, cell.case): cell for cell in judged_cells(results)}
    layers: dict[str, list[str]] = {}
    provenances: list[dict[str, Any]] = []
    shown = []
    for row in records(cells):
        cell = ratios.get((row["pairing"], row["case"]))
        if cell is None:
            continue
        names = list(cell.layer_ratios)
        if names:
            layers.setdefault(cell.case, names)
        if cell.provenance not in provenances:
            provenances.append(cell.provenance)
        own = names if names and layers[cell.case] != names else None
        row = {name: value for name, value in row.items() if name not in REPEATED}
        row |= {"layers": [rounded(ratio) for ratio in cell.layer_ratios.values()], "names": own}
        place = provenances.index(cell.provenance)
        shown.append(row | {"provenance": place, "heat": heat(row["error_ratio"])})
    absent = cells[cells["status"] == ABSENT][["pairing", "system", "case", "status", "reason", "command"]]
    constants = {"titles": SYSTEM_TITLES, "ratios": RATIOS, "bound": BOUND}
    return {"cells": shown + records(absent), "layers": layers, "provenances": provenances, **constants}


REPEATED = ("python", "processor", "platform", "versions")  # they are in the provenances


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dicts in which what is missing is None."""
    values = table.astype(object)
    rows = values.where(values.notna(), None).to_dict("records")
    return [{str(name): finite(value) for name, value in row.items()} for row in rows]


def rounded(ratio: float | None) -> float | None:
    return None if ratio is None or not math.isfinite(ratio) else float(f"{ratio:.3g}")


def heat(ratio: float | None, cool: float = COOL, warm: float = WARM) -> int | None:
    """Where a figure stands between `cool` and `warm`, in percent, on a logarithmic scale."""
    if ratio is None:
        return None
    share = math.log(max(ratio, 1e-9) / cool) / math.log(warm / cool)
    return round(100 * min(max(share, 0), 1))


@cache
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, packed; bundled once for a version, which takes seconds."""
    path = ROOT / ".cache" / f"vega-{version('vl-convert-python')}.js"
    if not path.exists():
        script = vl_convert.javascript_bundle("", vl_version="6.4")
        write_whole(path, lambda file: file.write(script.encode("utf-8")))
    return packed(path.read_text(encoding="utf-8"))


def packed(text: str) -> str:
    """Compressed, in base64, as report.js unpacks it."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), 9, mtime=0)).decode("ascii")
