"""The report as Markdown, for a CI summary or the README."""

from pathlib import Path

import pandas as pd

from pairings import known
from parity.compare import BOUND
from parity.models.releases import SYSTEM_TITLES
from reports.formatting import SPEED_COLUMNS, SYSTEM_FIGURES
from reports.peers import CAPTION as PEERS_CAPTION
from reports.peers import page_rows, reasons
from reports.results import Results, repeat_command
from reports.tables import (
    ABSENT,
    ALLOWED,
    RED,
    STATUSES,
    cell_table,
    columns_of,
    is_of_system,
    matrix,
    speed_table,
    system_table,
)

MARKS = {RED: "🔴 ", ALLOWED: "🟡 "}
NUMBERS = ("p50 ms", "95 %", "p95 ms", "× roofline", "× fastest", "error ratio", "peak MB")


def write_markdown(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown(results), encoding="utf-8")


def markdown(results: Results) -> str:
    cells = cell_table(results)
    parts = ["# bert4keras3: parity and speed", verdict(results, cells), "## Parity", parity(cells)]
    for status, words in (
        (RED, "Red, and why:"),
        (ALLOWED, "Red with the newest releases, which is allowed:"),
    ):
        lines = [
            f"* **{row['pairing']} {row['case']}**: {plain(row['reason'])} (`{row['command']}`)"
            + (f". Replay: {plain(row['replay'])}" if row["replay"] else "")
            for row in cells[cells["status"] == status].to_dict("records")
        ]
        if lines:
            parts.append("\n".join([words, "", *lines]))
    if results.absent:
        lines = [f"* {name}: {reason} (`{repeat_command(name)}`)" for name, reason in results.absent.items()]
        parts.append("\n".join(["Absent pairings:", "", *lines]))
    usual = [row for row in results.rows if not is_of_system(row)]
    parts += ["## Systems at the size of their release", *systems(system_table(results.rows))]
    if results.peers:
        parts += ["## Other libraries", peers(results)]
    parts += ["## Speed", speed(speed_table(usual))]
    return "\n\n".join(parts) + "\n"


def verdict(results: Results, cells: pd.DataFrame) -> str:
    count = cells["status"].value_counts()
    words = ", ".join(
        f"**{count.get(name, 0)} {name}**" for name in STATUSES if name != ALLOWED or ALLOWED in count
    )
    commits = ", ".join(sorted({cell.commit for cell in results.cells if cell.commit})) or "unknown"
    processors = "; ".join(sorted(set(cells["processor"].dropna()))) or "unknown"
    return f"{words} of {len(cells)} cells. Commit {commits}, processor {processors}."


def parity(cells: pd.DataFrame) -> str:
    """Systems × pairings."""
    entries = {
        (row["system"], row["pairing"]): MARKS.get(row["status"], "") + row["text"]
        for row in matrix(cells).to_dict("records")
    }
    names = [pairing.name for pairing in known(cells["pairing"].unique())]
    rows = [
        [SYSTEM_TITLES.get(system, system), *(entries[system, name] for name in names)]
        for system in dict.fromkeys(system for system, _ in entries)
    ]
    words = f"Largest error ratio of a system's cases; 1 is as accurate as the reference, more than {BOUND:g} is red. "
    words += "The kinds below the systems show how many of their cases are green."
    return words + "\n\n" + pipe_table(["system", *names], rows)


def systems(table: pd.DataFrame) -> list[str]:
    """Systems × pairings, a table for each figure, and who has none."""
    if not len(table):
        return ["Absent: no system was measured (`nox -s bench-jax -- --systems`)."]
    names = columns_of(table)
    parts = [
        "Each system in its own process reads 1 × 128 tokens by `predict`. Memory is above that of the framework."
    ]
    for header, (column, show) in SYSTEM_FIGURES.items():
        rows = []
        for system, group in table.groupby("system", sort=False):
            texts = dict(zip(group["pairing"], map(show, group[column]), strict=True))
            rows.append([SYSTEM_TITLES[str(system)], *(texts.get(name, ABSENT) for name in names)])
        parts += [f"### {header}", pipe_table(["system", *names], rows)]
    without = table[table["p50"].isna()].to_dict("records")
    lines = [
        f"* **{row['pairing']} {SYSTEM_TITLES[row['system']]}**: {row['status']}: {plain(row['reason'])}"
        for row in without
    ]
    return [*parts, "\n".join(["Not measured, and why:", "", *lines])] if lines else parts


def peers(results: Results) -> str:
    """Cases × implementations that are not ours."""
    rows = [
        [row["case"], *(f"🔴 {text}" if red else text for text, red in row["cells"])]
        for row in page_rows(results.peers)
    ]
    lines = [f"* {plain(line.strip())}" for line in reasons(results.peers)]
    table = pipe_table(["case", *(peer.name for peer in results.peers)], rows)
    return "\n\n".join([PEERS_CAPTION, table, "\n".join(lines)])


def speed(table: pd.DataFrame) -> str:
    if not len(table):
        return "Absent: nothing was measured (`nox -s bench-jax -- --quick`)."
    names = ["scenario", "implementation", "mode", "device"]
    rows = []
    for row in table.to_dict("records"):
        numbers = [SPEED_COLUMNS[name](row) for name in NUMBERS]
        if pd.isna(row["p50"]):
            numbers = [f"{row['status']}: {row['reason']}", "", "", "", "", numbers[-2], ""]
        rows.append([*(row[name] for name in names), *numbers, row["commit"], f"`{row['command']}`"])
    return pipe_table([*names, *NUMBERS, "commit", "command"], rows)


def pipe_table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(plain(text) for text in line) + " |" for line in lines)


def plain(text: str) -> str:
    """Text that may stand in a cell or a list of Markdown, and starts no markup of its own."""
    return str(text).replace("\n", " ").replace("|", "\\|").replace("<", "&lt;")
