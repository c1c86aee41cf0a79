"""What the bench hands to the reports: one row a measurement, as lines of JSON that are only ever appended.

A writer that is killed leaves at most one line that is cut short, at the end; readers pass over it.
"""

import json
import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Optional

SCHEMA = 1
MEASURED, WRONG, FAILED, ABSENT = "measured", "wrong", "failed", "absent"


class Row(NamedTuple):
    """One subject on one scenario in one mode. Seconds and bytes; None where it was not measured.

    run: of the whole run, whose rows were interleaved and may be compared; started: in UTC, ISO 8601.
    commit: of this project, "+" behind it where the tree was not clean. command: what repeats the row.
    subject: name in bench.subjects; scenario: in bench.scenarios. mode: "call", "predict", "compiled", "generate",
    "train". device: "cpu" or "gpu".
    status: MEASURED; WRONG (it ran, its output did not pass parity: no speed of it counts); FAILED or ABSENT
    (environment, device or interpreter is not here); reason: of all but the first.
    error_ratio: of the output of this very process, see parity.compare.
    latency_seconds: every call, in order. items: sequences or tokens that one call makes, so items / seconds is the
    throughput. limit_seconds: the least that this machine would need, from its own GEMM rate and bandwidth.
    compilations: over all lengths of the scenario. memory_slope: bytes a call, over many calls.
    settings: what decides speed: threads, precision, XLA, versions, processor or GPU.
    """

    run: str
    started: str
    commit: str
    command: str
    subject: str
    scenario: str
    mode: str
    device: str
    status: str
    reason: Optional[str] = None
    error_ratio: Optional[float] = None
    load_seconds: Optional[float] = None
    first_call_seconds: Optional[float] = None
    latency_seconds: List[float] = []
    items: int = 1
    limit_seconds: Optional[float] = None
    peak_rss_bytes: Optional[int] = None
    peak_device_bytes: Optional[int] = None
    compilations: Optional[int] = None
    memory_slope: Optional[float] = None
    settings: Dict[str, Any] = {}


def append_rows(path: Path, rows: Iterable[Row]) -> None:
    """Append rows to a file of JSON lines, each in one write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a killed writer's last line
            os.write(descriptor, b"\n")
        for row in rows:
            line = json.dumps(dict(row._asdict(), schema=SCHEMA), ensure_ascii=False, allow_nan=False)
            os.write(descriptor, line.encode("utf-8") + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_rows(path: Path) -> List[Row]:
    """Rows of a file of JSON lines; lines that a killed writer left are passed over.

    Raises ValueError for a row of a newer schema, naming file and line.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        schema = fields.pop("schema")
        if schema > SCHEMA:
            raise ValueError(
                "%s:%d: row of schema %d, expected at most %d: update this checkout" % (path, number, schema, SCHEMA)
            )
        rows.append(Row(**fields))
    return rows
