"""What every comparison of a record with its golden has in common, with NumPy alone.

The verdict is the error ratio: rms(record − float64 golden) ÷ rms(float32 golden − float64 golden). A ratio of 1
means: as accurate as the reference. Whatever was not compared is red: a missing record, a NaN, a wrong checksum.
"""

from typing import Any, Dict, NamedTuple, Optional

import numpy as np

from parity.subsample import rms

BOUND = 3.0
# The smallest noise that counts: half a unit in the last place of float32, the error of storing the number.
FLOOR = 2.0**-24
TINY = np.finfo("float32").tiny


class Cell(NamedTuple):
    """One case in one pairing. red: why it is red, None where it is green. Seconds and bytes as recorded.

    layer_ratios: {layer: error ratio} in the order of computation. commit, recorded, provenance: of the record.
    """

    case: str
    system: str
    pairing: str
    red: Optional[str] = None
    error_ratio: Optional[float] = None
    worst_layer: Optional[str] = None
    worst_layer_ratio: Optional[float] = None
    first_wrong_layer: Optional[str] = None
    root_cause_layer: Optional[str] = None
    gradient_ratio: Optional[float] = None
    worst_gradient: Optional[str] = None
    losses_ratio: Optional[float] = None
    load_seconds: Optional[float] = None
    latency_seconds: Optional[float] = None
    peak_memory_bytes: Optional[int] = None
    layer_ratios: Dict[str, float] = {}
    commit: Optional[str] = None
    recorded: Optional[str] = None
    provenance: Dict[str, Any] = {}


class Red(Exception):
    """A reason why a cell cannot be green."""


def rank(ratio):
    """Order of ratios in which a NaN is the worst."""
    return np.inf if np.isnan(ratio) else ratio


def training_ratio(golden, record, name, least):
    """Error ratio of one array; least: the noise that is granted at least."""
    if record[name].shape != golden[name].shape:
        return np.nan
    error = rms([record[name] - golden[name]])
    return error / max(rms([golden[name + "@noise"]]), least, TINY)
