"""What every comparison of a record with its golden has in common. It needs NumPy only.

The verdict is the error ratio: rms(record − float64 golden) ÷ rms(float32 golden − float64 golden). A ratio of 1
means: as accurate as the reference. Whatever was not compared is red: a missing record, a NaN, a wrong checksum.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from parity.store import read_json
from parity.subsample import rms

BOUND = 3.0
# The smallest noise that counts: half a unit in the last place of float32, the error of storing the number.
FLOOR = 2.0**-24
TINY = np.finfo("float32").tiny


class Cell(NamedTuple):
    """One case in one pairing, or one kind of `kinds.py`. red: why it is red, None if it is green.

    judged, green: of a kind, how many cases were compared and how many are green.
    layer_ratios: {layer: error ratio} in the order of computation; of a kind {case: error ratio}.
    commit, recorded, provenance: of the record.
    explanation: what the difference looks like. replay: one sentence on its replay. See `parity/replay/`.
    """

    case: str
    system: str
    pairing: str
    red: str | None = None
    error_ratio: float | None = None
    worst_layer: str | None = None
    worst_layer_ratio: float | None = None
    first_wrong_layer: str | None = None
    root_cause_layer: str | None = None
    gradient_ratio: float | None = None
    worst_gradient: str | None = None
    losses_ratio: float | None = None
    layer_ratios: dict[str, float] = {}
    commit: str | None = None
    recorded: str | None = None
    provenance: dict[str, Any] = {}
    judged: int | None = None
    green: int | None = None
    explanation: str | None = None
    replay: str | None = None


# What a cell takes from the info of its record as it stands there.
RECORDED = ("commit", "recorded", "provenance")


class Red(Exception):
    """A reason why a cell cannot be green."""


def shorten(value, limit=100):
    """A value as text of at most `limit` characters."""
    text = ascii(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def rank(ratio):
    """Order of ratios in which a NaN is the worst."""
    return np.inf if np.isnan(ratio) else ratio


def training_ratio(golden, record, name, least):
    """Error ratio of one array; least: the noise that is granted at least."""
    if record[name].shape != golden[name].shape:
        return np.nan
    error = rms([record[name] - golden[name]])
    return error / max(rms([golden[name + "@noise"]]), least, TINY)


def read_record_info(path, golden):
    """Read what stands beside a record of the golden with these checksums. Raises Red if there is no such record."""
    if not path.exists():
        raise Red("no record")
    info = read_json(path)
    if info["status"] != "recorded":
        raise Red(info["reason"])
    if info["golden"] != golden:
        raise Red("the record was made for another golden: run the pairing again")
    return info
