"""What a wrong layer looks like: its definition with one thing changed, beside what was computed.

The description of a layer is what it says of itself: arguments, weights, inputs. If its definition agrees with the
golden, the description is right and the library computed something else. If not, the description is wrong, and a change
that makes it agree says how.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np

from parity.compare import BOUND, FLOOR, TINY
from parity.replay.definitions import Call, compute, is_defined
from parity.replay.hypotheses import changes
from parity.subsample import LAYER_SAMPLE, rms, sample

SHARE = 0.9  # of the difference that an explanation has to explain
CLEARLY = 3.0  # times as much of it as the next leaves unexplained


class Evidence(NamedTuple):
    """One call with what there is to compare it with. golden: a sample. activations: of the layers before it."""

    call: Call
    output: int
    computed: np.ndarray
    golden: np.ndarray
    noise: float
    activations: dict[str, np.ndarray]


class Diagnosis(NamedTuple):
    """Of a wrong layer.

    error_ratio: of what the library computed, beside the layer's definition. described: whether the definition agrees
    with the golden. title, share: of the explanation, and how much of the difference it explains; None for none.
    change: what it changes.
    """

    error_ratio: float
    described: bool
    title: str | None = None
    share: float = 0.0
    change: Callable | None = None

    @property
    def explanation(self) -> str | None:
        if self.title is None:
            return None
        return (
            f"consistent with {self.title}: explains {100 * min(self.share, 0.9999):.4g} % of the difference"
        )

    def right(self, call: Call, activations: dict[str, Any]) -> Call | None:
        """The call as the reference would describe it; None if that is unknown."""
        if self.described:
            return call
        return self.change(call, activations) if self.change else None


def diagnose(evidence: list[Evidence], inputs_are_right: bool = True) -> Diagnosis | None:
    """Compare a layer with its definition, and try all hypotheses; None if there is no definition.

    On wrong inputs the golden cannot judge what the layer says of itself, which then counts as right.
    """
    if not all(is_defined(one.call) for one in evidence):
        return None
    stated = [computed_by(one, one.call) for one in evidence]
    noise = max(rms([np.array(one.noise) for one in evidence]), TINY)
    ours = rms(flat([one.computed - array for one, array in zip(evidence, stated)]))
    samples = [sample(array, LAYER_SAMPLE) for array in stated]
    golden = [as_numbers(one.golden) for one in evidence]
    floor = max(noise, FLOOR * rms(flat(golden)))
    described = (
        not inputs_are_right
        or rms(flat([one - other for one, other in zip(samples, golden)])) <= BOUND * floor
    )
    found = Diagnosis(ours / floor, described)
    if described:
        targets, views = [as_numbers(one.computed) for one in evidence], stated
    else:
        targets, views = golden, samples
    return found._replace(**best(evidence, targets, views, floor, back=not described))


def as_numbers(array):
    return np.asarray(array, "float64")


def flat(arrays):
    return [np.ravel(array).astype("float64") for array in arrays]


def computed_by(one, call):
    """What the definition makes of a call, in the shape of what the library computed."""
    array = as_numbers(compute(call, one.output))
    return np.broadcast_to(array, one.computed.shape)


def best(evidence, targets, views, floor, back):
    """The hypothesis that explains the most, if it is most of the difference and clearly more than the next one."""
    difference = rms(flat([target - view for target, view in zip(targets, views)]))
    if not np.isfinite(difference) or difference <= BOUND * floor:
        return {}
    ranked = []
    for title, change in changes(evidence[0].call, evidence[0].activations, back):
        arrays = predicted(evidence, change, back)
        if arrays is None:
            continue
        left = rms(flat([target - array for target, array in zip(targets, arrays)]))
        if np.isfinite(left):
            ranked.append((left, title, change, arrays))
    ranked.sort(key=lambda one: one[0])
    if not ranked or ranked[0][0] > (1 - SHARE) * difference:
        return {}
    left, title, change, arrays = ranked[0]
    for other, name, _, theirs in ranked[1:]:
        if other >= CLEARLY * max(left, floor):
            break
        if name in title.split(" or "):
            continue
        if rms(flat([one - two for one, two in zip(arrays, theirs)])) > floor:
            return {}  # two hypotheses that differ explain it equally well
        title += f" or {name}"
    return {"title": title, "share": 1 - left / difference, "change": change}


def predicted(evidence, change, back):
    """What each call computes with a hypothesis; None if the hypothesis has nothing to change."""
    arrays = []
    with np.errstate(all="ignore"):
        for one in evidence:
            try:
                call = change(one.call, one.activations)
                array = None if call is None else computed_by(one, call)
            except (ValueError, IndexError):  # shapes that do not fit
                return None
            if array is None:
                return None
            arrays.append(sample(array, LAYER_SAMPLE) if back else array)
    return arrays
