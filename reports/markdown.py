"""The report as Markdown, for a CI summary or the README."""

from pathlib import Path

import pandas as pd

from pairings import PAIRINGS
from parity.compare import BOUND
from parity.models.releases import SYSTEM_TITLES
from reports.formatting import interval, milliseconds, number
from reports.results import Results, repeat_command
from reports.tables import ABSENT, GREEN, RED, cell_table, matrix, speed_table


def write_markdown(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown(results), encoding="utf-8")


def markdown(results: Results) -> str:
    cells = cell_table(results)
    parts = ["# bert4keras3: parity and speed", verdict(results, cells), "## Parity", parity(cells)]
    red = cells[cells["status"] == RED]
    if len(red):
        parts.append("\n".join(["Red, and why:", "", *(red_line(row) for row in red.to_dict("records"))]))
    if results.absent:
        lines = [f"* {name}: {reason} (`{repeat_command(name)}`)" for name, reason in results.absent.items()]
        parts.append("\n".join(["Absent pairings:", "", *lines]))
    parts += ["## Speed", speed(speed_table(results.rows))]
    return "\n\n".join(parts) + "\n"


def verdict(results: Results, cells: pd.DataFrame) -> str:
    count = cells["status"].value_counts()
    words = ", ".join(f"**{count.get(name, 0)} {name}**" for name in (GREEN, RED, ABSENT))
    commits = ", ".join(sorted({cell.commit for cell in results.cells if cell.commit})) or "unknown"
    processors = "; ".join(sorted(set(cells["processor"].dropna()))) or "unknown"
    return f"{words} of {len(cells)} cells. Commit {commits}, processor {processors}."


def parity(cells: pd.DataFrame) -> str:
    """Systems × pairings."""
    entries = {(row["system"], row["pairing"]): entry(row) for row in matrix(cells).to_dict("records")}
    names = [pairing.name for pairing in PAIRINGS]
    rows = [
        [SYSTEM_TITLES.get(system, system), *(entries[system, name] for name in names)]
        for system in dict.fromkeys(system for system, _ in entries)
    ]
    words = f"Largest error ratio of a system's cases; 1 is as accurate as the reference, more than {BOUND:g} is red. "
    words += "Layers, optimizers, generation, tokenizers and snippets show how many of their cases are green."
    return words + "\n\n" + pipe_table(["system", *names], rows)


def entry(row: dict) -> str:
    return f"🔴 {row['text']}" if row["status"] == RED else row["text"]


def red_line(row: dict) -> str:
    return f"* **{row['pairing']} {row['case']}**: {plain(row['reason'])} (`{row['command']}`)"


def speed(table: pd.DataFrame) -> str:
    if not len(table):
        return "Absent: nothing was measured (`nox -s bench-jax -- --quick`)."
    header = [
        "scenario",
        "implementation",
        "mode",
        "device",
        "p50 ms",
        "95 %",
        "p95 ms",
        "× roofline",
        "× fastest",
    ]
    header += ["error ratio", "peak MB", "commit", "command"]
    return pipe_table(header, [speed_row(row) for row in table.to_dict("records")])


def speed_row(row: dict) -> list[str]:
    names = [row[name] for name in ("scenario", "implementation", "mode", "device")]
    ratio = number(row["error_ratio"], "%.3g")
    if pd.isna(row["p50"]):
        numbers = [f"{row['status']}: {row['reason']}", "", "", "", "", ratio, ""]
    else:
        numbers = [
            milliseconds(row["p50"]),
            interval(row["p50_low"], row["p50_high"], 1e3),
            milliseconds(row["p95"]),
            number(row["times_roofline"], "%.2f"),
            number(row["times_fastest"], "%.2f"),
            ratio,
            number(row["peak_rss_bytes"], "%.0f", 1e-6),
        ]
    return [*names, *numbers, row["commit"], f"`{row['command']}`"]


def pipe_table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(plain(text) for text in line) + " |" for line in lines)


def plain(text: str) -> str:
    """Text that may stand in a cell or a list of Markdown, and starts no markup of its own."""
    return str(text).replace("\n", " ").replace("|", "\\|").replace("<", "&lt;")
