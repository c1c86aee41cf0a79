"""The accuracy gate: an output is right by its error ratio to the golden of its scenario, or by equal tokens."""

from __future__ import annotations

import numpy as np

from bench.golden import read_golden
from bench.scenarios import Scenario
from parity.compare import BOUND, Red
from parity.models.compare import check_outputs, error_ratio


def check_output(scenario: Scenario, output: np.ndarray) -> tuple[float | None, str | None]:
    """(error ratio, None for tokens; why the output is wrong or None). Raises ValueError if there is no golden."""
    golden, metadata = read_golden(scenario)
    name = next(iter(metadata["shapes"]))
    if scenario.new_tokens:
        return None, difference_of_tokens(golden[name].ravel(), output.ravel())
    try:
        check_outputs(metadata, {name: output})
    except Red as red:
        return None, str(red)
    ratio = error_ratio(golden, metadata, {name: output}, name.split("/", 1)[1])
    return ratio, None if ratio <= BOUND else f"error ratio {ratio:.3g}, at most {BOUND:g} is right"


def difference_of_tokens(expected: np.ndarray, found: np.ndarray) -> str | None:
    """The first difference of two arrays of token ids in words, or None."""
    if expected.shape != found.shape:
        return f"{found.size} tokens, expected {expected.size}"
    different = np.flatnonzero(expected != found)
    if not different.size:
        return None
    first = different[0]
    return f"token {first} is {found[first]}, expected {expected[first]}; {different.size} of {found.size} differ"
