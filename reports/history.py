"""The history of results: one line a run for each system in a pairing, each row of the bench, and what changed.

Lines are only appended. A run always writes the same lines, so two histories are merged by keeping each line once.
"""

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from pairings.shards import SECONDS
from parity.store import append_lines, read_json, whole_lines, write_json, write_whole
from reports.results import SCHEMA, Results, why_red
from reports.tables import measured

PARITY, SPEED, CHANGE = "parity", "speed", "change"  # the kinds of lines; compare.py writes the last


def remember(folder: Path, results: Results) -> int:
    """Append what is new; returns how many lines that were."""
    known = {identity(line) for line in results.history}
    new = [line for line in lines_of(results) if identity(line) not in known]
    if new:
        append_lines(folder / "history.jsonl", new, SCHEMA)
    results.history.extend(new)
    return len(new)


def identity(line: dict[str, Any]) -> str:
    return json.dumps(line, sort_keys=True)


def lines_of(results: Results) -> Iterable[dict[str, Any]]:
    """Ratios and times of what was right; what was not is counted, and has no number."""
    cells = sorted(results.cells, key=lambda cell: (cell.pairing, cell.system))
    for (pairing, system), group in groupby(cells, lambda cell: (cell.pairing, cell.system)):
        found = list(group)
        ratios = [cell.error_ratio for cell in found if not why_red(cell)]
        yield {
            "kind": PARITY,
            "started": min((cell.recorded for cell in found if cell.recorded), default=None),
            "commit": next((cell.commit for cell in found if cell.commit), None),
            "pairing": pairing,
            "system": system,
            "cases": len(found),
            "red": sum(bool(why_red(cell)) for cell in found),
            "error_ratio": max((ratio for ratio in ratios if ratio is not None), default=None),
        }
    for row in results.rows:
        names = ("started", "commit", "run", "implementation", "scenario", "mode", "device", "status")
        line = {"kind": SPEED, **{name: getattr(row, name) for name in names}}
        line["processor"] = row.settings.get("processor")
        if measured(row):
            line["p50"] = float(np.median(row.latency_seconds))
            line["peak_rss_bytes"] = row.peak_rss_bytes
        if row.counts:
            line["counts"] = row.counts
        yield line


def merge(folders: list[Path], into: Path) -> None:
    """Bring the results of several machines together in `into`, whose own count too.

    Of two verdicts on a pairing or another library the newer stays, and any verdict before a reason why there is none.
    Rows and history are taken once each. The order of the folders, and merging twice, make no difference.
    """
    folders = [folder for folder in dict.fromkeys([*folders, into]) if folder.exists()]
    for relative in names_in(folders, f"{SECONDS}/*.json"):
        paths = [folder / relative for folder in folders]
        found = [read_json(path) for path in paths if path.exists()]
        write_json(into / relative, {kind: longest(found, kind) for one in found for kind in one})
    for relative in names_in(folders, "cells/*.json") | names_in(folders, "peers/cells/*.json"):
        paths = [folder / relative for folder in folders]
        found = [read_json(path) for path in paths if path.exists()]
        write_json(into / relative, max(found, key=age))
    for relative in sorted(names_in(folders, "bench/*.jsonl") | {Path("history.jsonl")}):
        merge_lines([folder / relative for folder in folders], into / relative)


def longest(found: list[dict[str, float]], kind: str) -> float:
    """Seconds of a kind of session on the slowest machine that ran it."""
    return max(one[kind] for one in found if kind in one)


def names_in(folders: list[Path], pattern: str) -> set[Path]:
    return {path.relative_to(folder) for folder in folders for path in folder.glob(pattern)}


def age(content: dict[str, Any]) -> tuple[bool, str, str]:
    cells = content.get("cells") or []
    return bool(cells), max((cell["recorded"] or "" for cell in cells), default=""), identity(content)


def merge_lines(paths: list[Path], into: Path) -> None:
    found = (one for path in paths if path.exists() for one in whole_lines(path))
    lines = {text: line["started"] or "" for _, text, line in found}
    if lines:
        merged = "".join(f"{text}\n" for text in sorted(lines, key=lambda text: (lines[text], text)))
        write_whole(into, lambda file: file.write(merged.encode("utf-8")))
