"""The parity tables in the terminal: `python -m reports.terminal jax torch [--case bert-mlm ...]`

One for each pairing, then systems × pairings, then what others have published about the user's own files, where
--weights names them. Exits with 1 where a cell is red.
"""

import argparse
import sys

from rich.console import Console
from rich.table import Table

from pairings import BY_NAME, PAIRINGS
from parity.cases import add_case_arguments, chosen_cases
from parity.compare import BOUND, Cell, compare_case
from parity.files import FOUND, read_json


def parity_table(pairing: str, cells: list[Cell]) -> Table:
    table = Table(title=f"{pairing}: {BY_NAME[pairing].summary}", title_justify="left", header_style="bold")
    table.add_column("case", no_wrap=True)
    table.add_column("error ratio", justify="right")
    table.add_column("worst layer", overflow="fold")
    for column in ("its ratio", "gradients", "losses", "load ms", "latency ms", "peak MB"):
        table.add_column(column, justify="right")
    for cell in cells:
        table.add_row(
            cell.case,
            number(cell.error_ratio, "%.2f"),
            cell.worst_layer or "",
            number(cell.worst_layer_ratio, "%.2f"),
            number(cell.gradient_ratio, "%.2f"),
            number(cell.losses_ratio, "%.2f"),
            number(cell.load_seconds, "%.0f", 1e3),
            number(cell.latency_seconds, "%.1f", 1e3),
            number(cell.peak_memory_bytes, "%.0f", 1e-6),
            style="red" if cell.red else None,
        )
    return table


def matrix_table(cells: list[Cell], pairings: list[str]) -> Table:
    """Largest error ratio of each system in each pairing; in red where one of its cases is."""
    table = Table(title="systems × pairings: largest error ratio", title_justify="left", header_style="bold")
    table.add_column("system", no_wrap=True)
    for pairing in pairings:
        table.add_column(pairing, justify="right", overflow="fold")
    for system in dict.fromkeys(cell.system for cell in cells):
        row = [[one for one in cells if (one.system, one.pairing) == (system, name)] for name in pairings]
        table.add_row(system, *(matrix_entry(group) for group in row))
    return table


def matrix_entry(cells: list[Cell]) -> str:
    text = number(
        max((cell.error_ratio for cell in cells if cell.error_ratio is not None), default=None), "%.2f"
    )
    red = sum(bool(cell.red) for cell in cells)
    return f"[red]{text} ({red} red)[/]" if red else text


def published_table(pairing: str, rows: list[dict]) -> Table:
    table = Table(title=f"{pairing}: published numbers", title_justify="left", header_style="bold")
    for column in ("case", "producer", "result", "source"):
        table.add_column(column, overflow="fold")
    for row in rows:
        result = row.get("red") or row.get("measured") or f"not run: {row['not_run']}"
        table.add_row(
            row["case"], row["producer"], result, row["source"], style="red" if row.get("red") else None
        )
    return table


def number(value, pattern, scale=1):
    return "–" if value is None else pattern % (value * scale)


def summary(pairing: str, cells: list[Cell]) -> str:
    red = [cell for cell in cells if cell.red]
    ratios = [cell.error_ratio for cell in cells if cell.error_ratio is not None]
    green = f"{len(cells) - len(red)} of {len(cells)} cases green (error ratio at most {BOUND:g})"
    worst = f", largest {max(ratios):.2f}" if ratios else ""
    return f"[{'red' if red else 'green'}]{pairing}: {green}{worst}[/]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairings", nargs="+", choices=[pairing.name for pairing in PAIRINGS])
    add_case_arguments(parser)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    cases = chosen_cases(options)
    red = False
    everything: list[Cell] = []
    for pairing in options.pairings:
        cells = [compare_case(case, pairing) for case in cases]
        everything += cells
        console.print(parity_table(pairing, cells))
        for cell in cells:
            if cell.red:
                red = True
                console.print(f"[red]{cell.case}: {cell.red}[/]", highlight=False)
        console.print(summary(pairing, cells), highlight=False)
        for what, reason in BY_NAME[pairing].limitations.items():
            console.print(f"{pairing}: no {what}: {reason}", highlight=False)
        console.print()
        if options.weights:
            rows = read_json(FOUND / "published" / f"{pairing}.json")
            console.print(published_table(pairing, rows))
            red = red or any(row.get("red") for row in rows)
    if len(options.pairings) > 1:
        console.print(matrix_table(everything, options.pairings))
    return int(red)


if __name__ == "__main__":
    sys.exit(main())
