"""Which weights of a layer are split over the devices of a mesh, and along which axis: Megatron's tensor parallelism.

Each model class has a `layout_table` beside its `weight_table`, with a `Split` for each layer whose weights are split.
https://arxiv.org/abs/1909.08053
"""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Mapping, NamedTuple

from bert4keras3.backend import layout_map_of_process
from bert4keras3.weights import BLOCK_NUMBER, expand_braces

MODEL_AXIS = "model"  # the axis of a mesh over which weights are split


class Split(NamedTuple):
    """How the weights of one layer are split.

    Attributes:
        weights: paths of the weights inside the layer, each with the axis that is split, in the braces of a weight
            table: "{q,k}_dense/{kernel:1,bias:0}".
        number: attribute of the transformer, and name in a configuration, that the devices have to divide.
    """

    weights: str
    number: str

    def axes(self) -> dict[str, int]:
        """{path of a weight inside the layer: its axis that is split}"""
        pairs = (one.split(":") for one in expand_braces(self.weights))
        return {path: int(axis) for path, axis in pairs}


# Queries, keys, values and the inner kernels by columns, and what follows them by rows: one all-reduce for each layer.
ATTENTION = Split("{{q,k,v}_dense/{kernel:1,bias:0},o_dense/kernel:0}", "num_attention_heads")
FEED_FORWARD = Split("{i{0,1}_dense/{kernel:1,bias:0},o_dense/kernel:0}", "intermediate_size")
GATED_ATTENTION = Split("{i_dense/{kernel:1,bias:0},o_dense/kernel:0}", "intermediate_size")
VOCABULARY = Split("embeddings:0", "vocab_size")
VOCABULARY_BIAS = Split("beta:0", "vocab_size")
VOCABULARY_KERNEL = Split("kernel:1", "vocab_size")
HEAD_BIAS = Split("embeddings:1", "num_attention_heads")  # T5's relative positions, (buckets, heads)
POINTER = Split("dense/{kernel:1,bias:0}", "heads")


class Part(NamedTuple):
    """One row of an expanded layout table: a layer, its split, and the number of it that the devices have to divide.

    Attributes:
        layer: name of the layer, or its row of the table.
        axes: {path of a weight, or a regular expression of paths: its axis that is split}
        numbers: {what is split: how many of it there are}; empty if nothing is known.
    """

    layer: str
    axes: dict[str, int]
    numbers: dict[str, int]

    def reason(self, devices: int) -> str | None:
        """Why the layer cannot be split over so many devices; None if it can."""
        for what, number in self.numbers.items():
            if number % devices:
                return f"layer {self.layer}: {what} is {number}, which {devices} devices do not divide"
        return None


def expand_layouts(table: Mapping[str, Split], num_hidden_layers: int) -> Iterator[tuple[str, Split]]:
    """Yield (name of a layer, its split), with each row that has a %d repeated for every block."""
    for layer, split in table.items():
        if BLOCK_NUMBER.search(layer):
            yield from ((layer % i, split) for i in range(num_hidden_layers))
        else:
            yield layer, split


def devices_along(mesh: Any, axis: str | None) -> int:
    """Number of devices along an axis of a mesh; 1 without an axis."""
    return 1 if axis is None else mesh.shape[list(mesh.axis_names).index(axis)]


def uneven(parts: Iterable[Part], devices: int) -> dict[str, str]:
    """{layer: the reason} of the layers that so many devices cannot split."""
    reasons = {part.layer: part.reason(devices) for part in parts}
    return {layer: reason for layer, reason in reasons.items() if reason is not None}


def some_of(reasons: Mapping[str, str]) -> str:
    """The first reasons, and how many there are more."""
    more = f"; and {len(reasons) - 3} more layers" if len(reasons) > 3 else ""
    return "; ".join(list(reasons.values())[:3]) + more


def refusal(reasons: Mapping[str, str]) -> str:
    """The message of the layers that cannot be split."""
    return (
        f"{some_of(reasons)}. Choose a mesh whose {MODEL_AXIS!r} axis divides these numbers, or keep such layers "
        'whole on every device: layout_map(…, indivisible="replicate")'
    )


def check_layouts(transformer: Any) -> None:
    """Check, before a transformer is built, that the distribution of this process splits its layers evenly.

    Raises:
        ValueError: a layer cannot be split; XLA would fail later, or split heads without a word.
    """
    layouts = layout_map_of_process()
    if layouts is None:
        return
    reasons = {}
    for name, split in expand_layouts(transformer.layout_table, transformer.num_hidden_layers):
        layer, number = transformer.prefixed(name), getattr(transformer, split.number)
        for path, axis in split.axes().items():
            layout = layouts[f"{layer}/{path}"]
            if layout is not None and axis < len(layout.axes):  # a user's own map may have fewer axes
                devices = devices_along(layouts.device_mesh, layout.axes[axis])
                reasons.update(uneven([Part(layer, {}, {split.number: number})], devices))
    if reasons:
        raise ValueError(f"{type(transformer).__name__}: {refusal(reasons)}")
