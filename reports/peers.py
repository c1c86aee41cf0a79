"""Other libraries, judged by the goldens of the parity run: the tables that show them.

They stand apart from our pairings: a red cell here is another library's, and turns no verdict on bert4keras3.
"""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.implementations import Implementation, implementation_named
from bench.judge import verdicts
from parity.compare import BOUND
from parity.models.cases import CASES_BY_NAME, add_case_arguments, chosen_cases
from reports.formatting import number
from reports.results import Peer, why_red, write_peer

CAPTION = (
    f"Error ratio of other libraries by the same goldens; more than {BOUND:g} is red. "
    "A red cell here turns no verdict on bert4keras3."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    words = "as behind --implementation of `nox -s parity-peers`"
    parser.add_argument("implementations", nargs="+", metavar="IMPLEMENTATION", help=words)
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 if a case is red, or none was judged"
    )
    add_case_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Judge what was recorded, keep the cells, and print one table."""
    peers = []
    for implementation in map(implementation_named, options.implementations):
        peers.append(judged(implementation, options))
        write_peer(options.results, peers[-1])
    console.print(peer_table(peers))
    for line in reasons(peers):
        console.print(line, highlight=False, markup=False)
    failed = any(not peer.cells or any(map(why_red, peer.cells)) for peer in peers)
    return int(options.strict and failed)


def judged(implementation: Implementation, options: argparse.Namespace) -> Peer:
    cases = chosen_cases(options)
    if implementation.pairing and not implementation.executable.exists():
        pairing = implementation.environment
        reason = f"no environment {pairing.environment}, which needs Python {pairing.python}"
        return Peer(implementation.name, [], {case.name: reason for case in cases})
    return Peer(implementation.name, *verdicts(implementation.name, cases, options.results))


def entries(peers: list[Peer]) -> dict[str, dict[str, tuple[str, bool]]]:
    """{case: {implementation: (error ratio as text, whether it is red)}} of the cases that somebody computes."""
    found: dict[str, dict[str, tuple[str, bool]]] = {}
    for peer in peers:
        for cell in peer.cells:
            text = "failed" if cell.error_ratio is None else number(cell.error_ratio)
            found.setdefault(cell.case, {})[peer.name] = text, bool(why_red(cell))
    return {
        case: found[case]
        for case in [*CASES_BY_NAME, *sorted(set(found) - set(CASES_BY_NAME))]
        if case in found
    }


def reasons(peers: list[Peer]) -> list[str]:
    """For each implementation how many cases are green, then why others are red or absent, each reason once."""
    lines = []
    for peer in peers:
        green = sum(not why_red(cell) for cell in peer.cells)
        lines.append(f"{peer.name}: {green} of {len(peer.cells)} cases green, {len(peer.absent)} absent")
        red = {cell.case: why_red(cell) or "" for cell in peer.cells if why_red(cell)}
        for status, why in (("red", red), ("absent", peer.absent)):
            lines += [
                f"  {status}: {names_of(why, reason)}: {reason}" for reason in dict.fromkeys(why.values())
            ]
    return lines


def names_of(why: dict[str, str], reason: str, limit: int = 3) -> str:
    names = [case for case, other in why.items() if other == reason]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def peer_table(peers: list[Peer]) -> Table:
    table = Table(title=CAPTION, title_justify="left", header_style="bold")
    table.add_column("case", no_wrap=True)
    for peer in peers:
        table.add_column(peer.name.replace("-", "\n"), justify="right", overflow="fold")
    for case, row in entries(peers).items():
        shown = [row.get(peer.name, ("", False)) for peer in peers]
        table.add_row(case, *(f"[red]{text}[/]" if red else text for text, red in shown))
    return table


def page_rows(peers: list[Peer]) -> list[dict[str, Any]]:
    """Rows for a page: a case, and for each implementation its text and whether it is red."""
    return [
        {"case": case, "cells": [row.get(peer.name, ("", False)) for peer in peers]}
        for case, row in entries(peers).items()
    ]
