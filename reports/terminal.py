"""Tables in the terminal: parity of a pairing, systems × pairings, published numbers, speed."""

import re

import pandas as pd
from rich.table import Table

from pairings import find, known
from parity.compare import BOUND, Cell
from parity.kinds import KINDS_BY_NAME
from parity.models.releases import SYSTEM_TITLES
from reports.formatting import SPEED_COLUMNS, SYSTEM_FIGURES, number
from reports.results import count, why_red
from reports.tables import ABSENT, ALLOWED, RED, columns_of


def make_table(title: str) -> Table:
    return Table(title=title, title_justify="left", header_style="bold")


def parity_table(pairing: str, cells: list[Cell]) -> Table:
    table = make_table(f"{pairing}: {find(pairing).summary}")
    table.add_column("case", no_wrap=True)
    table.add_column("error ratio", justify="right")
    table.add_column("worst layer", overflow="fold")
    for column in ("its ratio", "gradients", "losses"):
        table.add_column(column, justify="right")
    for cell in cells:
        table.add_row(
            " ".join(filter(None, [cell.case, count(cell).split(",")[0]])),
            number(cell.error_ratio),
            cell.worst_layer or "",
            *map(number, (cell.worst_layer_ratio, cell.gradient_ratio, cell.losses_ratio)),
            style="red" if why_red(cell) else None,
        )
    return table


def matrix_table(matrix: pd.DataFrame) -> Table:
    """Largest error ratio of each system in each pairing; in red where one of its cases is."""
    table = make_table("systems × pairings: largest error ratio")
    table.add_column("system", no_wrap=True)
    names = [pairing.name for pairing in known(matrix["pairing"].unique())]
    for name in names:
        table.add_column(re.sub(r"[-+]", "\n", name), justify="right", overflow="fold")
    for system, group in matrix.groupby("system", sort=False):
        entries = {}
        for row in group.to_dict("records"):
            colour = {RED: "red", ALLOWED: "yellow", ABSENT: "dim"}.get(row["status"])
            entries[row["pairing"]] = f"[{colour}]{row['text']}[/]" if colour else row["text"]
        title = SYSTEM_TITLES.get(str(system), str(system))
        table.add_row(title, *(entries[name] for name in names))
    return table


def absent_lines(absent: dict[str, str]) -> list[str]:
    return [f"[dim]{pairing}: {reason}[/]" for pairing, reason in absent.items()]


def published_table(pairing: str, rows: list[dict]) -> Table:
    table = make_table(f"{pairing}: published numbers")
    for column in ("case", "producer", "result", "source"):
        table.add_column(column, overflow="fold")
    for row in rows:
        result = row.get("red") or row.get("measured") or f"not run: {row['not_run']}"
        style = "red" if row.get("red") else None
        table.add_row(row["case"], row["producer"], result, row["source"], style=style)
    return table


def summary(pairing: str, cells: list[Cell]) -> str:
    colour = "red" if any(map(why_red, cells)) else "green"
    kinds = [f"; {cell.case} {count(cell) or 'not compared'}" for cell in cells if cell.case in KINDS_BY_NAME]
    cells = [cell for cell in cells if cell.case not in KINDS_BY_NAME]
    ratios = [cell.error_ratio for cell in cells if cell.error_ratio is not None]
    green = f"{sum(not why_red(cell) for cell in cells)} of {len(cells)} cases green (error ratio at most {BOUND:g})"
    worst = f", largest {max(ratios):.2f}" if ratios else ""
    return f"[{colour}]{pairing}: {green}{worst}{''.join(kinds)}[/]"


def system_tables(systems: pd.DataFrame) -> list[Table]:
    """Systems × pairings, one table for each figure; of a single pairing one table with all figures."""
    pairings = columns_of(systems)
    if len(pairings) == 1:
        table = make_table(f"{pairings[0]}: every system at the size of its release, 1 × 128 tokens")
        table.add_column("system", no_wrap=True)
        for header in SYSTEM_FIGURES:
            table.add_column(header, justify="right")
        for row in systems.to_dict("records"):
            figures = [show(row[column]) for column, show in SYSTEM_FIGURES.values()]
            table.add_row(SYSTEM_TITLES[row["system"]], *figures)
        return [explained(table, systems)]
    tables = []
    for header, (column, show) in SYSTEM_FIGURES.items() if pairings else ():
        table = make_table(f"systems × pairings at the size of the release, 1 × 128 tokens: {header}")
        table.add_column("system", no_wrap=True)
        for pairing in pairings:
            table.add_column(pairing, justify="right", overflow="fold")
        for system, rows in systems.groupby("system", sort=False):
            texts = dict(zip(rows["pairing"], map(show, rows[column]), strict=True))
            table.add_row(SYSTEM_TITLES[str(system)], *(texts.get(name) for name in pairings))
        tables.append(table)
    return [*tables[:-1], explained(tables[-1], systems)] if tables else []


def explained(table: Table, systems: pd.DataFrame) -> Table:
    """A table with the rows that have no time under it."""
    without = systems[systems["p50"].isna()].to_dict("records")
    lines = [why_no_speed({**row, "implementation": f"{row['pairing']} {row['system']}"}) for row in without]
    table.caption, table.caption_justify = "\n".join(lines), "left"
    return table


def speed_tables(speed: pd.DataFrame) -> list[Table]:
    """One for what was measured side by side. Who was wrong, failed or absent stands under it with the reason."""
    tables = []
    for (scenario, mode, device, run), rows in speed.groupby(
        ["scenario", "mode", "device", "run"], sort=False
    ):
        table = make_table(f"{scenario} {mode} on {device}, run {run}, commit {rows['commit'].iloc[0]}")
        table.add_column("implementation", no_wrap=True)
        for column in SPEED_COLUMNS:
            table.add_column(column, justify="right", overflow="fold")
        for row in rows[rows["p50"].notna()].sort_values("p50").to_dict("records"):
            table.add_row(row["implementation"], *(text(row) for text in SPEED_COLUMNS.values()))
        without = rows[rows["p50"].isna()].to_dict("records")
        table.caption, table.caption_justify = "\n".join(map(why_no_speed, without)), "left"
        tables.append(table)
    return tables


def why_no_speed(row: dict) -> str:
    colour = "dim" if row["status"] == ABSENT else "red"
    ratio = "" if pd.isna(row["error_ratio"]) else f" (error ratio {row['error_ratio']:.3g})"
    return f"[{colour}]{row['implementation']}: {row['status']}{ratio}: {row['reason']}[/]"
