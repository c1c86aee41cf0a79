"""From results to what people read.

    python -m reports table jax torch [--case bert-mlm ...]    judge records, keep the cells, print the tables
    python -m reports speed | html | markdown | readme-chart | junit | export | feed
                                                                one kind of report, from what is kept
    python -m reports all                                       every kind, into results/report/
    python -m reports peers NAME...                             the same for other libraries, which turn no exit code
    python -m reports merge DIR... --into DIR                   results of several machines in one folder
    python -m reports docs [--write]                            figures of the documentation against their rows
    python -m reports compare A B                               what changed between two results, pairings or commits
    python -m reports regress [--update]                        accuracy against reports/baseline.json
    python -m reports bisect ...                                which version or commit made something worse

Exits with 1 where a cell is red, or something has become worse.
"""

import argparse
import importlib
import sys
from pathlib import Path

from rich.console import Console

from pairings import find
from parity.kinds import chosen_kinds, compare_kind
from parity.models.cases import add_case_arguments, chosen_cases
from parity.models.compare import compare_case
from parity.store import RESULTS, USER_FILES, read_json
from reports import compare, documentation, peers, regress, terminal
from reports.bisection import command as bisect
from reports.history import merge, remember
from reports.results import is_set_apart, read_results, why_red, write_cells
from reports.tables import cell_table, is_of_system, matrix, speed_table, system_table


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return options.run(options, Console(width=None if sys.stdout.isatty() else 160))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m reports", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("table", help="judge records, keep the cells, print the tables")
    table.add_argument("pairings", nargs="+", type=pairing_name)
    add_case_arguments(table)
    table.set_defaults(run=run_table)
    others = commands.add_parser("peers", help="judge what other libraries recorded, and print one table")
    peers.add_arguments(others)
    others.set_defaults(run=peers.run)
    for name, text in REPORTS.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--into", type=Path, help="folder, where not `report` in that of the results")
        command.set_defaults(run=run_speed if name == "speed" else run_write)
    commands.choices["speed"].add_argument("--newest", action="store_true", help="only the last run")
    merged = commands.add_parser("merge", help="results of several machines in one folder")
    merged.add_argument("folders", nargs="+", type=Path)
    merged.add_argument("--into", type=Path, required=True)
    merged.set_defaults(run=run_merge)
    changed = commands.add_parser("compare", help=compare.__doc__.splitlines()[0])
    compare.add_arguments(changed)
    changed.set_defaults(run=compare.run)
    worse = commands.add_parser("regress", help=regress.__doc__.splitlines()[0])
    regress.add_arguments(worse)
    worse.set_defaults(run=regress.run)
    broken = commands.add_parser("bisect", help=bisect.__doc__.splitlines()[0])
    bisect.add_arguments(broken)
    broken.set_defaults(run=bisect.run)
    shown = commands.add_parser("docs", help="are the figures of the documentation the ones of their rows?")
    shown.add_argument("--write", action="store_true", help="write the figures of the rows into the pages")
    shown.add_argument(
        "--keep", type=Path, metavar="RUN", help="keep this run of results/bench/ as rows first"
    )
    shown.set_defaults(run=documentation.run)
    for command in commands.choices.values():
        command.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    return parser.parse_args(arguments)


def pairing_name(name: str) -> str:
    """A name that `find` reads. Raises argparse's error, with the names that there are."""
    try:
        return find(name).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))


def run_table(options: argparse.Namespace, console: Console) -> int:
    cases = chosen_cases(options)
    results = USER_FILES if options.weights else options.results
    red = False
    for pairing in options.pairings:
        allowed = find(pairing).unpinned
        cells = [compare_case(case, pairing) for case in cases]
        cells += [compare_kind(kind, pairing) for kind in chosen_kinds(options, pairing)]
        write_cells(results, pairing, cells)
        console.print(terminal.parity_table(pairing, cells))
        for cell in cells:
            if why_red(cell):
                red = red or not (allowed or is_set_apart(cell))
                colour = "yellow" if allowed else "red"
                console.print(f"[{colour}]{cell.case}: {why_red(cell)}[/]", highlight=False)
                if cell.replay:
                    console.print(f"{cell.case}: replay: {cell.replay}", highlight=False, soft_wrap=True)
        console.print(terminal.summary(pairing, cells), highlight=False)
        if allowed:
            console.print(
                f"{pairing}: the newest releases, whose red cells make nothing fail", highlight=False
            )
        for what, reason in find(pairing).limitations.items():
            console.print(f"{pairing}: no {what}: {reason}", highlight=False)
        console.print()
        if options.weights:
            rows = read_json(USER_FILES / "published" / f"{pairing}.json")
            console.print(terminal.published_table(pairing, rows))
            red = red or any(row.get("red") for row in rows)
    if len(options.pairings) > 1:
        everything = read_results(options.results)
        console.print(terminal.matrix_table(matrix(cell_table(everything))))
        for line in terminal.absent_lines(everything.absent):
            console.print(line, highlight=False)
    return int(red)


def run_speed(options: argparse.Namespace, console: Console) -> int:
    rows = read_results(options.results).rows
    if options.newest:
        rows = [row for row in rows if row.run == max(row.run for row in rows)]
    tables = terminal.system_tables(system_table(rows))
    tables += terminal.speed_tables(speed_table([row for row in rows if not is_of_system(row)]))
    for table in tables:
        console.print(table)
    return 0


def run_write(options: argparse.Namespace, console: Console) -> int:
    """Write the reports of this kind and say where they are."""
    results = read_results(options.results)
    remember(options.results, results)
    folder = options.into or options.results / "report"
    for kind in ALL if options.command == "all" else (options.command,):
        module, name = WRITERS[kind]
        write = getattr(importlib.import_module(f"reports.{module}"), f"write_{module}")  # slow to load
        for path in write(results, folder / name) or [folder / name]:
            console.print(f"{path}  {path.stat().st_size / 1e3:.0f} kB", highlight=False, soft_wrap=True)
    return 0


def run_merge(options: argparse.Namespace, console: Console) -> int:
    merge(options.folders, options.into)
    results = read_results(options.into)
    remember(options.into, results)
    counts = f"{len(results.cells)} cells, {len(results.rows)} rows, {len(results.history)} lines of history"
    console.print(f"{options.into}: {counts}", highlight=False, soft_wrap=True)
    return 0


# Kind of report → its module, which has write_<module>(results, path), and its file.
WRITERS = {
    "html": ("html", "report.html"),
    "markdown": ("markdown", "report.md"),
    "readme-chart": ("readme_chart", "speed.svg"),
    "junit": ("junit", "report.xml"),
    "export": ("tables", ""),
    "feed": ("feed", ""),
}
ALL = ("html", "markdown", "junit", "export", "feed")
REPORTS = {
    "speed": "print the tables of the bench",
    "html": "one page that needs nothing else",
    "readme-chart": "the speeds as one SVG, for the README",
    "markdown": "for a CI summary or the README",
    "junit": "for a CI's view of tests",
    "export": "CSV and Parquet, for pandas",
    "feed": "what changed from night to night as Atom, and a badge",
    "all": "every kind of report",
}

if __name__ == "__main__":
    sys.exit(main())
