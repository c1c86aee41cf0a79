"""Make a red case small: fewer blocks, sizes, arguments, rows and tokens, as long as the wrong layer stays red.

The layer before and behind a step is judged by its definition in float64, on the inputs that the library's own layers
give it. The unit is what float32 does to that definition.
"""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import numpy as np

from parity.compare import BOUND, FLOOR, TINY
from parity.models.cases import Case
from parity.models.releases import Release
from parity.models.variables import FAMILIES, release_variables
from parity.replay.definitions import Call, compute
from parity.replay.trace import trace
from parity.store import write_json
from parity.subsample import rms

SECONDS = 60  # of the processor, for the steps of one case
RED = 10.0  # least error ratio of a step: far from the bound, so that it is red on other machines too
HEADS = ("num_attention_heads", "attention_head_size", "attention_key_size", "hidden_size", "embedding_size")
SIZES = (
    *HEADS,
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "relative_attention_num_buckets",
)


class Small(NamedTuple):
    """A case that can be built anywhere. layer: the wrong output. weights: {variable: array}. values: the inputs."""

    case: Case
    config: dict[str, Any]
    weights: dict[str, np.ndarray]
    values: list[np.ndarray]
    layer: str


class Judged(NamedTuple):
    """What a small case gives.

    right: the call as the reference would describe it. given: {name: array} of the layers before it. direction: the
    array "direction" if gradients are judged.
    """

    call: Call
    right: Call
    output: int
    expected: np.ndarray
    noise: float
    error_ratio: float
    given: dict[str, np.ndarray]
    direction: dict[str, np.ndarray] = {}


def traced(library, small):
    """{name: (call, computed)} of a small case; its configuration lies in a folder of its own for a while."""
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / "config.json", small.config)
        release = Release("small", "", "", small.config, "config.json", folder=folder)
        case = small.case._replace(user_checkpoint=release)
        try:
            return trace(library, case, small.weights, small.values)
        finally:
            library.K.clear_session()


def judge(library, small, diagnosis) -> Judged | None:
    """Compute a small case; None if it cannot be built, or if nobody knows what is right."""
    try:
        calls = traced(library, small)
        call, computed = calls[small.layer]
        before = {name: array for name, (_, array) in calls.items()}
        right = diagnosis.right(call, before)
        if right is None:
            return None
        output = output_number(small.layer)
        expected = np.broadcast_to(compute(right, output), computed.shape).astype("float64")
        single = np.asarray(compute(right.cast("float32"), output), "float64")
    except Exception:  # noqa: BLE001 a step may be one that the library refuses in any way
        return None
    noise = max(rms([single - expected]), FLOOR * rms([expected]), TINY)
    ratio = rms([computed.astype("float64") - expected]) / noise
    given = {name: before[name] for name in (*call.sources, *right.sources) if name in before}
    return Judged(call, right, output, expected, noise, ratio, given)


def judge_gradient(library, small) -> Judged | None:
    """The gradient of Σ direction · output by the weights of a layer: by the definition, in float64.

    A replay computes what the library makes of it, so there is no error ratio here.
    """
    try:
        calls = traced(library, small)
        call, computed = calls[small.layer]
        output = output_number(small.layer)
        direction = np.random.RandomState(0).normal(size=computed.shape).astype("float32")
        expected = gradient(call, output, direction.astype("float64"))
    except Exception:  # noqa: BLE001 a step may be one that the library refuses in any way
        return None
    given = {name: calls[name][1] for name in call.sources if name in calls}
    return Judged(call, call, output, expected, 0.0, np.nan, given, {"direction": direction})


def gradient(call, output, direction, step=2.0**-16):
    """Central differences of Σ direction · output by every weight, end to end."""
    slopes = []
    for i, weight in enumerate(call.weights):
        for place in range(weight.size):
            values = []
            for sign in (1, -1):
                moved = weight.copy()
                moved.flat[place] += sign * step
                weights = (*call.weights[:i], moved, *call.weights[i + 1 :])
                values.append((direction * compute(call._replace(weights=weights), output)).sum())
            slopes.append((values[0] - values[1]) / (2 * step))
    return np.array(slopes)


def output_number(name):
    """Which output of its call a name stands for, see `parity.adapter.output_name`."""
    tail = re.search(r"\.(\d+)$", name)
    return int(tail.group(1)) if tail else 0


def reduce(library, small, diagnosis) -> tuple[Small, Judged | None]:
    """The smallest case that is found, and what it gives."""
    judged = judge(library, small, diagnosis)
    if judged is None or not judged.error_ratio > BOUND:
        return small, None
    least = min(RED, judged.error_ratio)
    end = time.process_time() + SECONDS

    def smaller(small, judged, step):
        """The first case of a step that stays red; what was given if none does, or if the time is over."""
        for candidate in step(small):
            if time.process_time() > end:
                break
            found = judge(library, candidate, diagnosis)
            if found is not None and found.error_ratio >= least:
                return candidate, found
        return small, judged

    small, judged = smaller(small, judged, builder)
    small, judged = smaller(small, judged, everything)
    if len(small.values[0]) > 1:  # not all at once
        for step in (one_row, blocks, *(size(name) for name in SIZES)):
            small, judged = smaller(small, judged, step)
    small, judged = smaller(small, judged, tokens)
    for name in small.case.arguments:
        small, judged = smaller(small, judged, without(name))
    return small, judged


# Steps: each yields smaller cases, the smallest first


def everything(small) -> Iterator[Small]:
    """One row, few tokens, one block and small sizes, all at once."""
    for row in range(len(small.values[0])):
        short = cut(small, row, 4)
        for one in [*blocks(short), short]:
            for heads, hidden in ((1, 4), (2, 8)):
                sizes = dict(num_attention_heads=heads, hidden_size=hidden, intermediate_size=4, vocab_size=8)
                least = {name: min(value, one.config[name]) for name, value in sizes.items()}
                yield resized(one, dict(one.config, **least))


def builder(small) -> Iterator[Small]:
    """The model as `build_transformer_model` alone makes it. Its inputs are ids."""
    if small.case.build != "plain":
        ids = [value for value in small.values if value.dtype.kind == "i"]
        yield small._replace(case=small.case._replace(build="plain"), values=ids)


def one_row(small) -> Iterator[Small]:
    if len(small.values[0]) > 1:
        length = max(value.shape[1] for value in small.values if value.ndim > 1)
        for row in range(len(small.values[0])):
            yield cut(small, row, length)


def tokens(small) -> Iterator[Small]:
    length = max(value.shape[1] for value in small.values if value.ndim > 1)
    for count in sorted({1, 2, 3, 4, *(length // 2**i for i in range(1, 8))}):
        if 0 < count < length:
            yield small._replace(
                values=[value[:, :count] if value.ndim > 1 else value for value in small.values]
            )


def cut(small, row, count):
    """One row of the inputs, and its first tokens."""
    rows = [value[row : row + 1] for value in small.values]
    return small._replace(values=[value[:, :count] if value.ndim > 1 else value for value in rows])


def blocks(small) -> Iterator[Small]:
    """The first block alone, or half of the blocks."""
    count = small.config["num_hidden_layers"]
    first = small._replace(layer=re.sub(r"(Transformer-)\d+-", r"\g<1>0-", small.layer))
    for smaller in (first, small):
        for left in sorted({1, count // 2}):
            if left < count:
                yield resized(smaller, dict(smaller.config, num_hidden_layers=left))


def without(name):
    """Step that drops an argument of `build_transformer_model`, but the model's name."""

    def dropped(small):
        if name != "model":
            left = {key: value for key, value in small.case.arguments.items() if key != name}
            yield small._replace(case=small.case._replace(arguments=left))

    return dropped


def size(name):
    """Step that halves a size of the configuration."""

    def halved(small):
        value = small.config.get(name)
        if isinstance(value, int):
            for smaller in sorted({value // 2**i for i in range(1, 16)} - {0}):
                yield resized(small, dict(small.config, **{name: smaller}))

    return halved


def resized(small, config):
    """The case with another configuration, whose variables are corners of the old ones."""
    if config == small.config:
        return small
    if small.case.checkpoint.family not in FAMILIES:
        return small._replace(config=config)
    shapes = dict(release_variables(small.case.checkpoint._replace(config=config, optimizer="")))
    weights = {
        name: corner(small.weights[name], shape) for name, shape in shapes.items() if name in small.weights
    }
    ids, hidden = config["vocab_size"], config["hidden_size"]
    values = [value % ids if value.dtype.kind == "i" else value[..., :hidden] for value in small.values]
    return small._replace(config=config, weights=weights, values=values)


def corner(array, shape):
    return np.asarray(array)[tuple(slice(0, length) for length in shape)]
