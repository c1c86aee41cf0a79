"""Whether an output is right: its error ratio against the golden of its scenario, or the same tokens."""

from typing import Optional

import numpy as np

from bench.golden import read_golden
from bench.scenarios import Scenario
from parity.compare import BOUND, Red, check_outputs, error_ratio


def judge_output(scenario: Scenario, output: np.ndarray) -> tuple[Optional[float], Optional[str]]:
    """(error ratio, why it is wrong or None). Generated tokens have no ratio: they are equal or wrong.

    Raises ValueError where there is no golden.
    """
    golden, story = read_golden(scenario)
    name = next(iter(story["shapes"]))
    if scenario.new_tokens:
        return None, difference_of_tokens(golden[name].ravel(), output.ravel())
    try:
        check_outputs(story, {name: output})
    except Red as red:
        return None, str(red)
    ratio = error_ratio(golden, story, {name: output}, name.split("/", 1)[1])
    return ratio, None if ratio <= BOUND else f"error ratio {ratio:.3g}, at most {BOUND:g} is right"


def difference_of_tokens(expected: np.ndarray, found: np.ndarray) -> Optional[str]:
    if expected.shape != found.shape:
        return f"{found.size} tokens, expected {expected.size}"
    different = np.flatnonzero(expected != found)
    if not different.size:
        return None
    first = different[0]
    return f"token {first} is {found[first]}, expected {expected[first]}; {different.size} of {found.size} differ"
