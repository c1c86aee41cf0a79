"""What a wrong layer may have done, as data: each row changes the call of a layer, and `diagnose` computes it.

A new hypothesis is one row. A variant that no layer has as an argument is a word that its definition knows.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, NamedTuple

import numpy as np

from parity.replay.definitions import Call


class Hypothesis(NamedTuple):
    """One thing that may be wrong.

    title: what the changed layer does. change: (call) → the changed call, None if the call has nothing to change.
    kinds: classes of layers. back: (call) → what the unchanged layer does if the change makes it right; None if it
    would be no fault to name.
    """

    title: str
    kinds: tuple[str, ...]
    change: Callable[[Call], Call | None]
    back: Callable[[Call], str] | None = None


MATMULS = ("Dense", "FeedForward", "MultiHeadAttention", "GatedAttentionUnit", "Embedding")
ATTENTION = ("MultiHeadAttention", "GatedAttentionUnit")
NORM = ("LayerNormalization",)
ACTIVATED = ("Activation", "Dense", "FeedForward", "GatedAttentionUnit")
POSITIONS = ("PositionEmbedding", "SinusoidalPositionEmbedding")
RELATIVE = ("RelativePositionEmbedding", "RelativePositionEmbeddingT5")
MASKS = ("CausalMask", "UniLMMask")
ACTIVATIONS = {"gelu_erf": "erf GELU", "gelu_tanh": "tanh GELU", "quick_gelu": "sigmoid GELU", "relu": "ReLU"}
ACTIVATIONS.update(silu="swish", tanh="tanh", sigmoid="sigmoid", linear="no activation")


def variant(title, kinds, back=None, **arguments):
    """A row that sets arguments of the layer."""

    def change(call):
        same = all(call.arguments.get(name) == value for name, value in arguments.items())
        return None if same else call.changed(**arguments)

    return Hypothesis(title, kinds, change, back and (lambda call: back))


def values(argument, kinds, titles):
    """A row for each value of an argument. titles: {value: what a layer with this value does}."""

    def named(call):
        value = call.arguments[argument]
        return titles.get(value, f"{argument} {value}")

    return tuple(
        variant(title, kinds, **{argument: value})._replace(back=named) for value, title in titles.items()
    )


def activation(name):
    """A row for an activation in place of the layer's first one."""

    def change(call):
        first, *rest = call.arguments["activation"]
        return None if first == name else call.changed(activation=[name, *rest])

    def named(call):
        first = call.arguments["activation"][0]
        return ACTIVATIONS.get(first, first)

    return Hypothesis(ACTIVATIONS[name], ACTIVATED, change, named)


def masked(change):
    """Function that changes the masks of a call, (batch, length) each, if it has some."""

    def changed(call):
        if all(mask is None for mask in call.masks):
            return None
        return call._replace(masks=tuple(None if mask is None else change(mask) for mask in call.masks))

    return changed


def without_option(name, position):
    """Function that drops a bias of the scores: its option and its input, counted from the end."""

    def change(call):
        if not call.options.get(name):
            return None
        place = len(call.inputs) - 1 if position else len(call.inputs) - 1 - bool(call.options.get("p_bias"))
        options = {key: value for key, value in call.options.items() if key != name}
        return call._replace(options=options, inputs=call.inputs[:place] + call.inputs[place + 1 :])

    return change


def reordered(order):
    """Function that reorders the Dense layers of an attention, each with its kernel and bias."""

    def change(call):
        each = len(call.weights) // 4
        weights = tuple(
            weight for place in order for weight in call.weights[place * each : (place + 1) * each]
        )
        return with_weights(call, weights)

    return change


def with_weights(call, weights):
    """The call with other weights of the same shapes; None if the shapes differ or nothing does."""
    pairs = list(zip(call.weights, weights))
    if len(weights) != len(call.weights) or any(one.shape != other.shape for one, other in pairs):
        return None
    same = all(np.array_equal(one, other) for one, other in pairs)
    return None if same else call._replace(weights=tuple(weights))


def transposed(place):
    """Function that transposes the square kernel with this place among the kernels; None for all kernels."""

    def change(call):
        kernels = [i for i, weight in enumerate(call.weights) if weight.ndim == 2]
        chosen = kernels if place is None else kernels[place : place + 1]
        weights = [w.T if i in chosen and w.shape[0] == w.shape[1] else w for i, w in enumerate(call.weights)]
        return with_weights(call, weights)

    return change


def zeroed(place):
    """Function that zeroes the vector with this place among the vectors of the weights; None for all of them."""

    def change(call):
        vectors = [i for i, weight in enumerate(call.weights) if weight.ndim == 1]
        chosen = vectors if place is None else vectors[place : place + 1]
        return with_weights(call, [w * 0 if i in chosen else w for i, w in enumerate(call.weights)])

    return change


def ids(change):
    """Function that changes the ids that an embedding looks up."""

    def changed(call):
        if call.options.get("mode") == "dense":
            return None
        return call._replace(inputs=(change(call.inputs[0]), *call.inputs[1:]))

    return changed


def shifted(offset):
    """Function that looks up the next row, in tables of more than two rows: of two it is the other row."""

    def change(call):
        if call.options.get("mode") == "dense" or len(call.weights[0]) < 3:
            return None
        return call.changed(offset=offset)

    return change


def same(title, kinds, change):
    """A row whose change undoes itself, such as a swap."""
    return Hypothesis(title, kinds, change, lambda call: title)


def without_input(place):
    """Function that leaves out one term of a sum."""

    def change(call):
        return (
            None
            if len(call.inputs) < 2
            else call._replace(inputs=call.inputs[:place] + call.inputs[place + 1 :])
        )

    return change


def only_if(name, row):
    """The row for calls that have this option alone."""
    return row._replace(change=lambda call: row.change(call) if call.options.get("p_bias") == name else None)


HYPOTHESES: tuple[Hypothesis, ...] = (
    *(activation(name) for name in ACTIVATIONS),
    # normalization
    *values("epsilon", NORM, {10.0**-n: f"epsilon 1e-{n:02d}" for n in (3, 5, 6, 7, 8, 12)}),
    variant("the mean is not subtracted", NORM, "the mean is subtracted", zero_mean=False),
    variant("the mean is subtracted", NORM, "the mean is not subtracted", zero_mean=True),
    variant("no division by the deviation", NORM, unit_variance=False),
    variant("the variance is divided by n − 1", NORM, lost_degrees=1),
    variant("epsilon outside of the root", NORM, epsilon_outside_the_root=True),
    same(
        "gamma and beta swapped",
        NORM,
        lambda call: with_weights(call, call.weights[:2][::-1] + call.weights[2:]),
    ),
    variant("scale missing", ("ScaleOffset", *NORM), scale=False),
    variant("offset missing", ("ScaleOffset", *NORM), offset=False),
    # attention
    *values(
        "attention_scale",
        ATTENTION,
        {True: "scores scaled", False: "scale of the scores missing", "twice": "scores scaled twice"},
    ),
    *values("normalization", ATTENTION, {one: one for one in ("softmax", "softmax_plus", "squared_relu")}),
    variant("softmax_plus without its least number of keys", ATTENTION, fewest_keys=1e-6),
    variant("softmax over the queries", ATTENTION, axis=-2),
    Hypothesis("mask ignored", ATTENTION, masked(lambda mask: None)),
    Hypothesis("mask inverted", ATTENTION, masked(np.logical_not)),
    Hypothesis("mask off by one", ATTENTION, masked(lambda mask: np.roll(mask, 1, axis=1))),
    Hypothesis("mask off by one, to the left", ATTENTION, masked(lambda mask: np.roll(mask, -1, axis=1))),
    Hypothesis("attention bias or causal mask ignored", ATTENTION, without_option("a_bias", False)),
    Hypothesis("position bias ignored", ATTENTION, without_option("p_bias", True)),
    only_if("rotary", variant("rotary positions by halves, not by pairs", ATTENTION, rotary="halves")),
    only_if("rotary", variant("rotary positions in the other direction", ATTENTION, rotary="reversed")),
    variant("heads split with the sizes first", ("MultiHeadAttention",), split="sizes"),
    same("key and value swapped", ("MultiHeadAttention",), reordered((0, 2, 1, 3))),
    same("query and key swapped", ("MultiHeadAttention",), reordered((1, 0, 2, 3))),
    same("query and value swapped", ("MultiHeadAttention",), reordered((2, 1, 0, 3))),
    same("value and output swapped", ("MultiHeadAttention",), reordered((0, 1, 3, 2))),
    # weights
    same("all kernels transposed", MATMULS, transposed(None)),
    *(same(f"transposed kernel {i}", MATMULS, transposed(i)) for i in range(4)),
    Hypothesis("all biases missing", MATMULS, zeroed(None)),
    *(Hypothesis(f"bias {i} missing", MATMULS, zeroed(i)) for i in range(4)),
    # ids and positions
    same("segments off by one", ("Embedding",), ids(lambda one: np.where(one < 2, 1 - one, one))),
    Hypothesis("ids off by one", ("Embedding",), shifted(1)),
    Hypothesis("ids off by one, backwards", ("Embedding",), shifted(-1)),
    variant("positions off by one", (*POSITIONS, *RELATIVE), offset=1),
    variant("positions off by one, backwards", (*POSITIONS, *RELATIVE), offset=-1),
    variant("sine and cosine swapped", ("SinusoidalPositionEmbedding",), cosine_first=True),
    variant("relative positions in the other direction", RELATIVE, reversed=True),
    variant("buckets off by one", ("RelativePositionEmbeddingT5",), bucket_offset=1),
    *values(
        "bidirectional",
        ("RelativePositionEmbeddingT5",),
        {True: "buckets for both directions", False: "one direction"},
    ),
    variant("the token itself is masked", MASKS, offset=-1),
    variant("one later token is seen", MASKS, offset=1),
    variant("later tokens are seen, earlier ones masked", MASKS, reversed=True),
    # the rest
    *(Hypothesis(f"term {i} of the sum missing", ("Add",), without_input(i)) for i in range(2)),
    variant("the last token in place of the first", ("FirstToken",), place=-1),
    variant("the second token in place of the first", ("FirstToken",), place=1),
    Hypothesis("mask ignored", ("GlobalAveragePooling1D",), masked(lambda mask: None)),
    variant("half precision (float16)", MATMULS, precision="float16"),
    variant("half precision (bfloat16)", MATMULS, precision="bfloat16"),
    variant("TF32", MATMULS, precision="tf32"),
)


def changes(call: Call, activations: dict[str, Any], back: bool) -> Iterator[tuple[str, Callable]]:
    """(title, change) of each hypothesis on a call. A change is a function of a call and of all activations.

    activations: {name: array} of the layers before it. back: the change is one that makes the call right.
    """
    for row in HYPOTHESES:
        if call.kind in row.kinds and (row.back or not back):
            title = row.back(call) if back and row.back else row.title
            yield title, lambda call, activations, change=row.change: change(call)
    for place, (source, array) in enumerate(zip(call.sources, call.inputs)):
        for name, other in activations.items():
            if (
                name != source
                and other.shape == array.shape
                and name.split("#")[0] != call.name.split("#")[0]
            ):
                read, right = (source, name) if back else (name, source)
                yield f"an input from {read} in place of {right}", rewired(place, name)


def rewired(place, name):
    """Change that takes an input from the layer with this name."""

    def change(call, activations):
        if name not in activations:
            return None
        inputs, sources = list(call.inputs), list(call.sources)
        inputs[place], sources[place] = activations[name], name
        return call._replace(inputs=tuple(inputs), sources=tuple(sources))

    return change
