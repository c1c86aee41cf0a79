"""What the bench hands to the reports and the documentation: rows as lines of JSON, of two kinds.

`Row` keeps every call of a run of `nox -s bench-…`. `StudyRow` keeps one figure, for a table of the documentation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterable, NamedTuple

from parity.store import append_lines, read_lines, write_whole

SCHEMA = 3  # 2 lacks framework_rss_bytes and counts
MEASURED, WRONG, FAILED, ABSENT = "measured", "wrong", "failed", "absent"
# Names of fields in rows of schema 1, and what they are called now.
RENAMED = {
    "subject": "implementation",
    "limit_seconds": "roofline_seconds",
    "memory_slope": "bytes_per_call",
}


class Row(NamedTuple):
    """One implementation on one scenario in one mode. Seconds and bytes; None if it was not measured.

    Attributes:
        run: name of the whole run, whose rows were interleaved and may be compared.
        started: in UTC, ISO 8601.
        commit: of this project, with "+" behind it if the tree was not clean.
        command: repeats the row.
        implementation: name in bench.implementations. NAME-control is the second of an A/A pair, which shows the noise.
        scenario: name in bench.scenarios.
        mode: "call", "predict", "compiled", "generate", "train", "load".
        device: "cpu" or "gpu".
        status: MEASURED, WRONG (the output did not pass the accuracy gate, no speed counts), FAILED, or ABSENT (the
            machine lacks the environment, or the implementation lacks the model).
        reason: of every status except MEASURED.
        error_ratio: of the output of this very process, see parity.models.compare; None for tokens.
        latency_seconds: every call, in order.
        items: sequences or tokens that one call makes; items / seconds is the throughput.
        roofline_seconds: the least time on this machine, by its own GEMM rate and bandwidth.
        framework_rss_bytes: resident memory when the framework was imported and nothing was loaded.
        peak_rss_bytes: peak of the resident memory; peak_device_bytes: peak on the GPU as the framework counts it.
        compilations: over all lengths of the scenario.
        counts: {name: number} of what a call does; None if two calls differ: see trackers.CallCounter.
        bytes_per_call: growth of memory over many calls.
        settings: what decides speed: threads, precision, XLA, versions, processor or GPU.
    """

    run: str
    started: str
    commit: str
    command: str
    implementation: str
    scenario: str
    mode: str
    device: str
    status: str
    reason: str | None = None
    error_ratio: float | None = None
    load_seconds: float | None = None
    first_call_seconds: float | None = None
    latency_seconds: list[float] = []
    items: int = 1
    roofline_seconds: float | None = None
    framework_rss_bytes: int | None = None
    peak_rss_bytes: int | None = None
    peak_device_bytes: int | None = None
    compilations: int | None = None
    bytes_per_call: float | None = None
    counts: dict[str, int | None] = {}
    settings: dict[str, Any] = {}


class StudyRow(NamedTuple):
    """One figure of a study.

    Attributes:
        study: name of the module in bench.studies.
        case: what is computed.
        candidate: which of the things that are compared.
        metric: what is measured.
        value, unit: the figure; None if `status` is not MEASURED. The unit "" stands for a pure number.
        status: as in `Row`; `note` then says why.
        pairing: name in pairings/, or of another environment.
        ratio: median over the rounds of value ÷ the value of `base` in the same round.
        base: the candidate, or "roofline", that `ratio` is against.
        low, high: of the ratio: quartiles, or the least and the greatest, as `note` says.
        machine: processor and cores.
        versions: {what decides speed: its version or setting}.
        note: what else a reader has to know.
        run, commit: of a run of the bench.
    """

    study: str
    case: str
    candidate: str
    metric: str
    value: float | None = None
    unit: str = ""
    status: str = MEASURED
    pairing: str | None = None
    ratio: float | None = None
    base: str | None = None
    low: float | None = None
    high: float | None = None
    machine: str | None = None
    versions: dict[str, str] = {}
    rounds: int | None = None
    note: str | None = None
    run: str | None = None
    commit: str | None = None


def append_rows(path: Path, rows: Iterable[Row]) -> None:
    """Append rows to a file of JSON lines, each in one write."""
    append_lines(path, (row._asdict() for row in rows), SCHEMA)


def read_rows(path: Path) -> list[Row]:
    """Rows of a file of JSON lines, of older schemas too. A line that a killed writer left is passed over."""
    return [Row(**current_names(line)) for line in read_lines(path, SCHEMA)]


def current_names(line: dict[str, Any]) -> dict[str, Any]:
    """A line with the names that its fields have now."""
    return {RENAMED.get(name, name): value for name, value in line.items()}


def read_study(path: Path) -> list[StudyRow]:
    return [StudyRow(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def write_study(path: Path, rows: Iterable[StudyRow]) -> None:
    """Add rows to a file of JSON lines, in place of older rows of the same figures."""
    kept = {identity(row): row for row in (read_study(path) if path.exists() else [])}
    kept.update({identity(row): row for row in rows})
    usual = StudyRow("", "", "", "")._asdict()
    lines = [
        {name: value for name, value in row._asdict().items() if value != usual[name]}
        for row in kept.values()
    ]
    text = "".join(json.dumps(one, ensure_ascii=False, allow_nan=False) + "\n" for one in lines)
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def identity(row: StudyRow) -> tuple:
    """What two rows of one figure have in common: a newer measurement takes the place of the older one."""
    return row.study, row.case, row.candidate, row.metric, row.pairing, row.machine, row.run
