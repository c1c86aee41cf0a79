"""The tables that every report shows, as pandas frames. What no report may show is removed here.

A red cell and a row that is not MEASURED keep their reason and lose their times. Whatever is absent has a row too.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.implementations import BEFORE, CONTROL
from bench.rows import MEASURED, Row
from bench.scenarios import SYSTEM_SCENARIOS, YARDSTICK
from pairings import find, known
from parity.compare import Cell
from parity.kinds import KINDS, KINDS_BY_NAME
from parity.models.cases import CASES
from reports.formatting import number
from reports.results import RATIOS, Results, count, repeat_command, why_red
from reports.statistics import quantile, ratio_of_medians

# ALLOWED: red in a pairing that takes the newest of everything, which makes nothing fail.
GREEN, RED, ALLOWED, ABSENT = STATUSES = ("green", "red", "allowed", "absent")
FULL_SIZE = "not run: full size, wants --everything"
NARROWED = "not run: the run was narrowed to other cases"
MODELS_ALONE = "not run: on a mesh of devices the models are judged alone"
# The order of the matrix: a user's own files come first, then the systems, then the kinds.
ROWS = {name: i for i, name in enumerate(dict.fromkeys([*(case.system for case in CASES), *KINDS_BY_NAME]))}


SYSTEM_OF = {one.name: one.system for one in SYSTEM_SCENARIOS}
JUDGED = ("judged", "green", "worst_layer", "worst_layer_ratio", "worst_gradient")


def cell_table(results: Results) -> pd.DataFrame:
    """One row for each case and pairing, absent ones too."""
    return pd.DataFrame([cell_row(cell) for cell in judged_cells(results)] + absent_rows(results))


def judged_cells(results: Results) -> list[Cell]:
    """In the order of the registries."""
    names = [pairing.name for pairing in results.pairings]
    return sorted(results.cells, key=lambda cell: names.index(cell.pairing))


def cell_row(cell: Cell) -> dict[str, Any]:
    red = why_red(cell)
    provenance = cell.provenance or {}
    return {
        "pairing": cell.pairing,
        "system": cell.system,
        "case": cell.case,
        "status": GREEN if not red else ALLOWED if find(cell.pairing).unpinned else RED,
        "reason": red,
        "explanation": cell.explanation,
        "replay": cell.replay,
        **{name: getattr(cell, name) for name in RATIOS},
        "count": count(cell),
        **{name: getattr(cell, name) for name in JUDGED},
        "command": repeat_command(cell.pairing, cell.case),
        "commit": cell.commit,
        "recorded": cell.recorded,
        **{name: provenance.get(name) for name in ("python", "processor", "platform")},
        "versions": ", ".join(map(" ".join, provenance.get("versions", {}).items())),
    }


def absent_rows(results: Results) -> list[dict[str, Any]]:
    """A row for each of our cases that has no cell, with the reason."""
    judged = {(cell.pairing, cell.case) for cell in results.cells}
    rows = []
    for pairing in results.pairings:
        empty = cell_row(Cell("", "", pairing.name))
        reasons = [(case.system, case.name, FULL_SIZE if case.slow else NARROWED) for case in CASES]
        other = MODELS_ALONE if pairing.mesh else NARROWED
        reasons += [(kind.name, kind.name, pairing.limitations.get(kind.needs, other)) for kind in KINDS]
        for system, case, reason in reasons:
            if (pairing.name, case) in judged:
                continue
            names = {"pairing": pairing.name, "system": system, "case": case}
            reason = results.absent.get(pairing.name) or reason
            command = repeat_command(pairing.name, case)
            rows.append({**empty, **names, "status": ABSENT, "reason": reason, "command": command})
    return rows


def matrix(cells: pd.DataFrame) -> pd.DataFrame:
    """One row for each system and pairing: largest error ratio, how many cases are green, red, absent, and why."""
    rows = []
    for (system, pairing), group in cells.groupby(["system", "pairing"], sort=False):
        counts = group["status"].value_counts()
        red = group[group["status"].isin([RED, ALLOWED])]
        judged = group[group["status"] != ABSENT]
        ratio = judged["error_ratio"].max() if len(judged) else None
        status = red["status"].iloc[0] if len(red) else GREEN if len(judged) else ABSENT
        reason = None if status == GREEN else (red if len(red) else group)["reason"].iloc[0]
        row = {"system": system, "pairing": pairing, "status": status, "error_ratio": ratio, "reason": reason}
        counted = (
            judged["count"].iloc[0].split(",")[0] or None if len(judged) else None
        )  # "115 of 115" of a kind
        row |= {"counted": counted, "text": entry(judged, ratio, len(red))}
        rows.append(row | {name: int(counts.get(name, 0)) for name in STATUSES})
    return pd.DataFrame(sorted(rows, key=lambda row: ROWS.get(row["system"], -1)))


def entry(judged: pd.DataFrame, ratio: float | None, red: int) -> str:
    """What stands in a cell of the matrix: the largest error ratio, or what was compared of a kind."""
    if not len(judged):
        return ABSENT
    text = judged["count"].iloc[0] or number(ratio, "%.2f")
    return f"{text} ({red} red)" if red else text


def speed_table(rows: list[Row]) -> pd.DataFrame:
    """One row for each row of the bench that no newer run repeats. Seconds with their 95 % intervals, bytes.

    times_roofline: median ÷ the roofline. times_fastest: median ÷ that of the fastest right
    row of the same run, scenario, mode and device, with its interval.
    """
    ordered = sorted(rows, key=lambda row: (row.started, row.run))
    shown = list({(row.implementation, row.scenario, row.mode, row.device): row for row in ordered}.values())
    return pd.DataFrame([speed_row(row, fastest(row, shown)) for row in shown], columns=SPEED_COLUMNS)


def fastest(row: Row, rows: list[Row]) -> Row | None:
    """The fastest of those that were measured side by side with it."""
    group = [one for one in rows if measured(one) and side_by_side(one) == side_by_side(row)]
    return min(group, key=lambda one: float(np.median(one.latency_seconds)), default=None)


def side_by_side(row: Row) -> tuple[str, ...]:
    """Rows that took turns have these in common."""
    return row.run, row.scenario, row.mode, row.device


def measured(row: Row) -> bool:
    return row.status == MEASURED and len(row.latency_seconds) > 0


def speed_row(row: Row, base: Row | None) -> dict[str, Any]:
    shown = {name: getattr(row, name) for name in [*NAMES, *ORIGIN]}
    if row.status == MEASURED and not measured(row):
        shown.update(status="failed", reason="it left no times")
    shown["settings"] = json.dumps(row.settings, sort_keys=True, ensure_ascii=False)
    if not measured(row):
        return shown
    median, late = quantile(row.latency_seconds, 0.5), quantile(row.latency_seconds, 0.95)
    shown.update(least=min(row.latency_seconds), p50=median.value, p50_low=median.low, p50_high=median.high)
    shown.update(p95=late.value, p95_low=late.low, p95_high=late.high)
    shown.update({name: getattr(row, name) for name in MEASURES}, calls=len(row.latency_seconds))
    shown["items_per_second"] = row.items / median.value
    if row.roofline_seconds:
        shown["times_roofline"] = median.value / row.roofline_seconds
    if base is row:
        shown.update(times_fastest=1.0, times_fastest_low=1.0, times_fastest_high=1.0)
    elif base is not None:
        ratio = ratio_of_medians(row.latency_seconds, base.latency_seconds)
        shown.update(times_fastest=ratio.value, times_fastest_low=ratio.low, times_fastest_high=ratio.high)
    return shown


NAMES = ["scenario", "device", "implementation", "mode", "status", "reason", "error_ratio"]
ORIGIN = ["run", "started", "commit", "command"]
MEASURES = ["roofline_seconds", "load_seconds", "first_call_seconds", "framework_rss_bytes", "peak_rss_bytes"]
MEASURES += ["peak_device_bytes", "compilations", "bytes_per_call"]
SPEED_COLUMNS = [
    *NAMES,
    "least",
    "p50",
    "p50_low",
    "p50_high",
    "p95",
    "p95_low",
    "p95_high",
    "items_per_second",
]
SPEED_COLUMNS += ["times_roofline", "times_fastest", "times_fastest_low", "times_fastest_high", "calls"]
SPEED_COLUMNS += [*MEASURES, *ORIGIN, "settings"]


def is_of_system(row: Row) -> bool:
    """Whether a row measures a system at the size of its release."""
    return row.scenario in SYSTEM_OF


def system_table(rows: list[Row]) -> pd.DataFrame:
    """One row for each system and pairing that was measured at the size of the system's release.

    memory_bytes: peak above the imported framework, or of the GPU. yardstick_seconds: the roofline of YARDSTICK in the
    same run, by which times of two machines can be compared.
    """
    own = [row for row in rows if is_of_system(row) and not row.implementation.endswith((CONTROL, BEFORE))]
    table = speed_table(own)
    on_gpu = table["device"] == "gpu"
    above = table["peak_rss_bytes"] - table["framework_rss_bytes"]
    yardsticks = {row.run: row.roofline_seconds for row in own if SYSTEM_OF[row.scenario] == YARDSTICK}
    names = table["implementation"].str.removeprefix("bert4keras3-")
    table = table.assign(
        system=table["scenario"].map(SYSTEM_OF),
        pairing=names + on_gpu.map({True: " gpu", False: ""}),
        memory_bytes=table["peak_device_bytes"].where(on_gpu, above),
        yardstick_seconds=table["run"].map(yardsticks),
    )
    places = table["system"].map(ROWS)
    return table.assign(place=places).sort_values("place", kind="stable")[SYSTEM_COLUMNS]


SYSTEM_COLUMNS = [
    "system",
    "pairing",
    "status",
    "reason",
    "error_ratio",
    "load_seconds",
    "first_call_seconds",
]
SYSTEM_COLUMNS += [
    "least",
    "p50",
    "p50_low",
    "p50_high",
    "memory_bytes",
    "yardstick_seconds",
    "calls",
    *ORIGIN,
]
SYSTEM_COLUMNS += ["settings"]


def columns_of(table: pd.DataFrame) -> list[str]:
    """The pairings of a table of systems, in the order of the registry."""
    found = list(dict.fromkeys(table["pairing"]))
    names = [pairing.name for pairing in known(found)]
    return sorted(found, key=lambda name: names.index(name) if name in names else len(names))


def layer_table(results: Results) -> pd.DataFrame:
    """One row for each layer of each cell, in the order of computation: how the error grows over the depth."""
    rows = [
        {"pairing": cell.pairing, "case": cell.case, "depth": depth, "layer": layer, "error_ratio": ratio}
        for cell in judged_cells(results)
        for depth, (layer, ratio) in enumerate(cell.layer_ratios.items())
    ]
    return pd.DataFrame(rows, columns=["pairing", "case", "depth", "layer", "error_ratio"])


def write_tables(results: Results, folder: Path) -> list[Path]:
    """The tables as CSV and Parquet, for pandas: `pandas.read_parquet("results/report/cells.parquet")`."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "cells": cell_table(results),
        "layers": layer_table(results),
        "speed": speed_table(results.rows),
        "systems": system_table(results.rows),
    }
    paths = []
    for name, table in tables.items():
        paths += [folder / f"{name}.csv", folder / f"{name}.parquet"]
        table.to_csv(paths[-2], index=False)
        table.to_parquet(paths[-1], index=False)
    return paths
