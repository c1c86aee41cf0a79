"""What the two words behind `python -m reports compare` may name, each read into the same `Side`.

yesterday/                a folder of results, as results/ is
reports/baseline.json     the verdicts that `nox -s regress -- --update` keeps; they have neither layers nor speed
jax, jax+keras==3.12.0    a pairing, or a version of one, in the results of --results
HEAD~3, 0d1bc01           a commit: its cells if they are in --results, else its lines in results/history.jsonl
"""

from pathlib import Path
from typing import Any, NamedTuple

from bench.before import commit_name
from bench.rows import Row
from pairings import BY_NAME
from parity.store import read_json
from reports.history import PARITY, SPEED
from reports.results import Results, cells_path, read_cells, read_results
from reports.verdicts import Key, Verdict, by_system, of_baseline, of_cells, of_line

OURS = "bert4keras3-"


class Side(NamedTuple):
    """One of the two that are compared.

    Attributes:
        verdicts: on each case, or on each system if `whole_systems`.
        rows: of the bench.
        absent: {pairing: why it has no verdict}.
        pairing: if the side is one alone.
        commit: full name if the side is a commit, else None.
    """

    name: str
    verdicts: dict[Key, Verdict]
    rows: list[Row] = []
    absent: dict[str, str] = {}
    whole_systems: bool = False
    pairing: str | None = None
    commit: str | None = None
    started: str = ""


def find_side(name: str, folder: Path) -> Side:
    """Read a side; folder: of the results. Raises ValueError if there is no such side."""
    path = Path(name)
    if path.is_dir():
        if not (path / "cells").is_dir() and not (path / "bench").is_dir():
            raise ValueError(
                f"{name}: the folder has neither cells/ nor bench/: expected a folder like results/"
            )
        return of_results(path.resolve().name, read_results(path))
    if path.is_file():
        content = read_json(path)
        if "cells" not in content:
            raise ValueError(f"{name}: expected a file like reports/baseline.json, found no cells in it")
        return Side(path.name, of_baseline(content["cells"]))
    if name in BY_NAME or cells_path(folder, name).exists():
        return of_pairing(name, folder)
    try:
        commit = commit_name(name)
    except ValueError as error:
        kinds = "a folder of results, a file like reports/baseline.json, a pairing, a version with cells"
        raise ValueError(f"{name}: expected {kinds} in {folder}, or a commit: {error}")
    return of_commit(name, commit, read_results(folder))


def of_results(name: str, results: Results) -> Side:
    times = [cell.recorded for cell in results.cells] + [row.started for row in results.rows]
    started = max(filter(None, times), default="")
    return Side(name, of_cells(results.cells), results.rows, results.absent, started=started)


def of_pairing(name: str, folder: Path) -> Side:
    found = read_cells(folder, name)
    cells, absent = ([], {name: found}) if isinstance(found, str) else (found, {})
    rows = read_results(folder).rows
    return narrowed(of_results(name, Results(cells, absent, rows, [])), name)._replace(pairing=name)


def narrowed(side: Side, pairing: str) -> Side:
    """The side without other pairings."""
    verdicts = {key: one for key, one in side.verdicts.items() if key[0] == pairing}
    rows = [row for row in side.rows if row.implementation == OURS + pairing]
    absent = {name: reason for name, reason in side.absent.items() if name == pairing}
    return side._replace(verdicts=verdicts, rows=rows, absent=absent)


def renamed(side: Side, pairing: str) -> Side:
    """A side of one pairing, under the name of another. Two frameworks have no operations in common to count."""
    verdicts = {(pairing, case): one for (_, case), one in side.verdicts.items()}
    rows = [row._replace(implementation=OURS + pairing) for row in side.rows]
    if str(side.pairing).split("+")[0] != pairing.split("+")[0]:
        rows = [row._replace(counts={}, compilations=None) for row in rows]
    absent = dict.fromkeys([pairing] * bool(side.absent), next(iter(side.absent.values()), ""))
    return side._replace(verdicts=verdicts, rows=rows, absent=absent)


def of_commit(name: str, commit: str, results: Results) -> Side:
    """What was kept of a commit. It may be nothing: then only `--speed` can compare it."""
    cells = [cell for cell in results.cells if is_of(cell.commit, commit)]
    rows = [row for row in results.rows if is_of(row.commit, commit)]
    if cells or rows:
        return of_results(name, Results(cells, {}, rows, []))._replace(commit=commit)
    lines = sorted(
        (line for line in results.history if is_of(line.get("commit"), commit)),
        key=lambda line: line["started"] or "",
    )
    verdicts = {(line["pairing"], line["system"]): of_line(line) for line in lines if line["kind"] == PARITY}
    rows = [row_of_line(line) for line in lines if line["kind"] == SPEED]
    started = max((line["started"] or "" for line in lines), default="")
    return Side(name, verdicts, rows, whole_systems=True, commit=commit, started=started)


def is_of(found: str | None, commit: str) -> bool:
    """Whether a result is of a commit; "+" behind a name tells of changes that were not committed."""
    return bool(found) and str(found).rstrip("+") == commit


def row_of_line(line: dict[str, Any]) -> Row:
    """The history keeps the median, the peak memory and the counts of a row."""
    names = ("run", "started", "commit", "implementation", "scenario", "mode", "device", "status")
    times = [line["p50"]] if "p50" in line else []
    settings = {"processor": line.get("processor")}
    return Row(
        **{name: line[name] for name in names},
        command="",
        latency_seconds=times,
        peak_rss_bytes=line.get("peak_rss_bytes"),
        counts=line.get("counts") or {},
        settings=settings,
    )


def aligned(old: Side, new: Side) -> tuple[Side, Side]:
    """Two sides whose cells have the same names: both of one pairing, both on cases or both on systems."""
    if old.pairing and new.pairing:
        new = renamed(new, old.pairing)
    elif old.pairing or new.pairing:
        pairing = str(old.pairing or new.pairing)
        old, new = narrowed(old, pairing), narrowed(new, pairing)
    if old.whole_systems != new.whole_systems:
        old, new = (
            one if one.whole_systems else one._replace(verdicts=by_system(one.verdicts), whole_systems=True)
            for one in (old, new)
        )
    return old, new
