"""What each kind of layer computes, in NumPy, in the precision of its inputs: in float64 the oracle of a small model.

Written from the papers and from bert4keras's documentation. A test compares each definition with the goldens.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np


class Call(NamedTuple):
    """One call of a layer.

    kind: name of its class. arguments: attributes of the layer, see ARGUMENTS, and variants that the hypotheses set.
    options: arguments of the call. sources: what made each input, the name of an output or of an input of the model.
    masks: of each input, (batch, length) or None.
    """

    name: str
    kind: str
    arguments: dict[str, Any]
    options: dict[str, Any]
    weights: tuple[np.ndarray, ...]
    inputs: tuple[np.ndarray, ...]
    sources: tuple[str, ...]
    masks: tuple[Any, ...]

    def changed(self, **arguments):
        return self._replace(arguments=dict(self.arguments, **arguments))

    def cast(self, dtype):
        """The call with all its numbers in a precision; ids and masks stay."""

        def convert(value):
            return value.astype(dtype) if value.dtype.kind == "f" else value

        weights, inputs = (tuple(map(convert, values)) for values in (self.weights, self.inputs))
        return self._replace(weights=weights, inputs=inputs)


# Activations and small functions


def erf(x):
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "silu": lambda x: x * sigmoid(x),
    "gelu_erf": lambda x: x * (1 + erf(x * 0.5**0.5)) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2,
    "quick_gelu": lambda x: x * sigmoid(1.702 * x),
}
ALIASES = {"gelu": "gelu_erf", "swish": "silu", "gelu_new": "gelu_tanh"}


def rounded(x, precision):
    """x in a lower precision: "float16", "bfloat16" or "tf32" (10 bits of mantissa), back in its own dtype."""
    if precision is None:
        return x
    if precision == "float16":
        return x.astype("float16").astype(x.dtype)
    bits = {"bfloat16": 16, "tf32": 13}[precision]  # that are cut off a float32
    whole = x.astype("float32").view("uint32")
    half = np.uint32((1 << (bits - 1)) - 1) + (whole >> np.uint32(bits) & np.uint32(1))
    kept = (whole + half) & np.uint32(0xFFFFFFFF << bits & 0xFFFFFFFF)
    return kept.view("float32").astype(x.dtype)


def dense(x, weights, activation="linear", precision=None):
    """weights: [kernel] or [kernel, bias]. TF32 rounds what is multiplied, half precision the results too."""
    y = rounded(x, precision) @ rounded(weights[0], precision)
    if len(weights) > 1:
        y = y + weights[1]
    y = ACTIVATIONS[activation](y)
    return y if precision == "tf32" else rounded(y, precision)


# Layers. Each takes the call and returns its output, or a list of several.


def add(call):
    return sum(call.inputs[1:], call.inputs[0])


def concatenate(call):
    return np.concatenate(call.inputs, axis=1)


def embedding(call):
    table, offset = call.weights[0], call.arguments.get("offset", 0)
    if call.options.get("mode") == "dense":
        precision = call.arguments.get("precision")
        return rounded(call.inputs[0], precision) @ rounded(table.T, precision)
    return table[(call.inputs[0].astype(int) + offset) % len(table)]


def layer_norm(call):
    x, arguments = call.inputs[0], call.arguments
    if arguments["zero_mean"]:
        x = x - x.mean(-1, keepdims=True)
    if arguments["unit_variance"]:
        variance = np.square(x).sum(-1, keepdims=True) / (x.shape[-1] - arguments.get("lost_degrees", 0))
        epsilon = x.dtype.type(arguments["epsilon"])
        outside = arguments.get("epsilon_outside_the_root", False)
        x = x / (np.sqrt(variance) + epsilon if outside else np.sqrt(variance + epsilon))
    return scale_and_offset(x, call)


def scale_offset(call):
    return scale_and_offset(call.inputs[0], call)


def scale_and_offset(x, call):
    """x · gamma + beta; the condition, if there is one, changes both."""
    weights, arguments = list(call.weights), call.arguments
    scale, offset = arguments["scale"], arguments["offset"]
    beta = weights.pop(0) if offset is True else offset
    gamma = weights.pop(0) if scale is True else scale
    if arguments["conditional"]:
        condition = call.inputs[1]
        if arguments["hidden_units"]:
            condition = dense(condition, [weights.pop(0)], arguments["hidden_activation"])
        condition = condition.reshape(len(condition), *[1] * (x.ndim - condition.ndim), *condition.shape[1:])
        beta = beta if offset is False else beta + condition @ weights.pop(0)
        gamma = gamma if scale is False else gamma + condition @ weights.pop(0)
    x = x if scale is False or scale is None else x * gamma
    x = x if offset is False or offset is None else x + beta
    return x * arguments.get("factor", 1)


def feed_forward(call):
    (x, *_), activations = call.inputs, call.arguments["activation"]
    pairs = grouped(call.weights, len(activations) + 1)
    precision = call.arguments.get("precision")
    inner = 1
    for activation, weights in zip(activations, pairs):
        inner = inner * dense(x, weights, activation, precision)
    return dense(inner, pairs[-1], precision=precision)


def grouped(weights, count):
    """The weights of `count` Dense layers, [kernel] or [kernel, bias] each."""
    each = len(weights) // count
    return [list(weights[i * each : (i + 1) * each]) for i in range(count)]


def simple_dense(call):
    activation = call.arguments["activation"][0]
    return dense(call.inputs[0], call.weights, activation, call.arguments.get("precision"))


def activation(call):
    return ACTIVATIONS[call.arguments["activation"][0]](call.inputs[0])


def attention(call):
    """Multi-head attention. Letters: b batch, j query, k key, h head, d size."""
    arguments, extra = call.arguments, list(call.inputs[3:])
    heads, precision = arguments["heads"], arguments.get("precision")
    parts = grouped(call.weights, 4)
    q, k, v = (
        split_heads(dense(x, weights, precision=precision), heads, arguments.get("split", "heads"))
        for x, weights in zip(call.inputs[:3], parts)
    )
    bias = extra.pop(0) if call.options.get("a_bias") else None
    kind = call.options.get("p_bias")
    if kind == "rotary":
        q, k = (rotate(x, extra[0], arguments.get("rotary", "pairs")) for x in (q, k))
    a = np.einsum("bjhd,bkhd->bhjk", rounded(q, precision), rounded(k, precision))
    if kind == "typical_relative":
        a = a + np.einsum("bjhd,jkd->bhjk", q, extra[0])
    if kind == "t5_relative":
        a = a + extra[0].transpose(2, 0, 1)[None]
    a = a * scale_of(call)
    weights = attention_weights(a, bias, call.masks[2], arguments)
    o = np.einsum("bhjk,bkhd->bjhd", rounded(weights, precision), rounded(v, precision))
    if kind == "typical_relative":
        o = o + np.einsum("bhjk,jkd->bjhd", weights, extra[0])
    o = dense(o.reshape(*o.shape[:2], -1), parts[3], precision=precision)
    return [o, a] if arguments["return_attention_scores"] else o


def split_heads(x, heads, order):
    """(batch, length, heads · size) → (batch, length, heads, size)"""
    if order == "sizes":  # as if the sizes came first
        return x.reshape(*x.shape[:2], -1, heads).swapaxes(2, 3)
    return x.reshape(*x.shape[:2], heads, -1)


def scale_of(call):
    """Factor of the scores."""
    size = call.arguments["key_size"]
    return {True: size**-0.5, False: 1.0, "twice": 1.0 / size}[call.arguments["attention_scale"]]


def attention_weights(a, bias, mask, arguments):
    """a: scores (batch, [head,] query, key). bias: bools are a mask, numbers are added. mask: of the keys."""
    keep = np.ones((1,) * a.ndim, bool)
    if bias is not None:
        bias = bias.reshape(*bias.shape[:-2], *[1] * (a.ndim - bias.ndim), *bias.shape[-2:])
        if bias.dtype == bool:
            keep = keep & bias
        else:
            a = a + bias
    if mask is not None:
        keep = keep & mask.reshape(len(mask), *[1] * (a.ndim - 2), -1)
    method, axis = arguments["normalization"], arguments.get("axis", -1)
    masked = mask is not None or bias is not None and bias.dtype == bool
    keys = np.broadcast_to(keep, a.shape).sum(-1, keepdims=True) if masked else a.shape[-1]
    keys = np.asarray(keys, a.dtype)
    if method == "squared_relu":
        return np.square(np.maximum(np.where(keep, a, -1e30), 0)) / np.maximum(keys, 1)
    if method == "softmax_plus":
        a = a * (np.log(np.maximum(keys, arguments.get("fewest_keys", 16))) / a.dtype.type(np.log(512)))
    return softmax(np.where(keep, a, a.dtype.type(-1e30)).swapaxes(axis, -1)).swapaxes(axis, -1)


def rotate(x, positions, variant):
    """Rotary positions: each pair of the last axis is rotated. positions: sines and cosines in turns."""
    shape = (*positions.shape[:2], *[1] * (x.ndim - 3), positions.shape[2] // 2)
    sine, cosine = positions[..., ::2].reshape(shape), positions[..., 1::2].reshape(shape)
    if variant == "reversed":
        sine = -sine
    half = x.shape[-1] // 2
    first, second = (x[..., :half], x[..., half:]) if variant == "halves" else (x[..., ::2], x[..., 1::2])
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return np.concatenate(turned, -1) if variant == "halves" else np.stack(turned, -1).reshape(x.shape)


def gated_attention(call):
    arguments, extra = call.arguments, list(call.inputs[1:])
    units, precision = arguments["units"], arguments.get("precision")
    each = 2 if arguments["use_bias"] else 1
    weights = list(call.weights)
    inner, outer = weights[:each], weights[-each:]
    x = dense(call.inputs[0], inner, arguments["activation"][0], precision)
    u, v, base = x[..., :units], x[..., units : 2 * units], x[..., 2 * units :]
    q, k = (
        base * part[-1] + (part[0] if each == 2 else 0) for part in grouped(weights[each:-each], 2)
    )  # beta comes first
    bias = extra.pop(0) if call.options.get("a_bias") else None
    if call.options.get("p_bias") == "rotary":
        q, k = (rotate(x, extra[0], arguments.get("rotary", "pairs")) for x in (q, k))
    a = np.einsum("bjd,bkd->bjk", q, k) * scale_of(call)
    weights = attention_weights(a, bias, call.masks[0], arguments)
    return dense(u * np.einsum("bjk,bkd->bjd", weights, v), outer, precision=precision)


def position_embedding(call):
    table, arguments, x = call.weights[0], call.arguments, call.inputs[0]
    ids = call.inputs[1].astype(int) if len(call.inputs) > 1 else np.arange(x.shape[1])[None]
    ids = ids + arguments.get("offset", 0)
    if arguments["hierarchical"]:
        alpha = 0.4 if arguments["hierarchical"] is True else arguments["hierarchical"]
        base = (table - alpha * table[:1]) / (1 - alpha)
        rows = alpha * base[ids // len(table)] + (1 - alpha) * base[ids % len(table)]
    else:
        rows = table[ids % len(table)]
    return merge(x, rows, arguments["merge_mode"])


def merge(x, rows, mode):
    if mode == "zero":
        return np.broadcast_to(rows, (len(rows), *x.shape[1:2], rows.shape[-1]))
    return x + rows if mode == "add" else x * (1 + rows)


def sinusoidal_positions(call):
    arguments, x = call.arguments, call.inputs[0]
    size = arguments["output_dim"]
    ids = call.inputs[1] if len(call.inputs) > 1 else np.arange(x.shape[1])[None]
    frequencies = arguments.get("base", 10000.0) ** (-2.0 * np.arange(size // 2) / size)
    angles = ((ids + arguments.get("offset", 0))[..., None] * frequencies).astype(x.dtype)
    pair = (np.sin(angles), np.cos(angles))
    rows = np.stack(pair[::-1] if arguments.get("cosine_first") else pair, -1)
    return merge(x, rows.reshape(*angles.shape[:2], size), arguments["merge_mode"])


def distances(call):
    """Place of the key minus place of the query: (query, key)."""
    query, key = call.inputs
    found = np.arange(key.shape[1])[None] - np.arange(query.shape[1])[:, None]
    return (-found if call.arguments.get("reversed") else found) + call.arguments.get("offset", 0)


def relative_positions(call):
    limit = (len(call.weights[0]) - 1) // 2
    return call.weights[0][np.clip(distances(call), -limit, limit) + limit]


def relative_positions_of_t5(call):
    table, arguments = call.weights[0], call.arguments
    found, count, later = distances(call), len(table), 0
    if arguments["bidirectional"]:
        count //= 2
        later = np.where(found > 0, count, 0)
        found = np.abs(found)
    else:
        found = np.maximum(-found, 0)
    found = found + arguments.get("bucket_offset", 0)
    exact = count // 2
    growth = np.log(np.maximum(found, 1) / exact) / np.log(arguments["max_distance"] / exact)
    wide = exact + np.floor(np.round(growth * (count - exact), 6)).astype(int)
    return table[np.where(found < exact, found, np.minimum(wide, count - 1)) + later]


def causal_mask(call):
    places = np.arange(call.inputs[0].shape[1])
    return mask_of_order(places, call.arguments)


def unilm_mask(call):
    return mask_of_order(np.cumsum(call.inputs[0].astype(int), axis=1), call.arguments)


def mask_of_order(order, arguments):
    """Whether the query may attend to the key: keys at its place in the order or before it."""
    queries, keys = order[..., :, None], order[..., None, :]
    if arguments.get("reversed"):
        queries, keys = keys, queries
    return keys < queries + 1 + arguments.get("offset", 0)


def attention_bias(call):
    bias, scores = call.inputs
    bias = bias[:, None] if bias.ndim == 3 else bias
    return np.where(bias, scores, -1e30) if bias.dtype == bool else scores + bias


def one_token(call):
    return call.inputs[0][:, call.arguments.get("place", 0)]


def average(call):
    x, mask = call.inputs[0], call.masks[0]
    if mask is None:
        return x.mean(1)
    return (x * mask[..., None]).sum(1) / np.maximum(mask.sum(1, keepdims=True), 1)


DEFINITIONS = {
    "Activation": activation,
    "Add": add,
    "AttentionBias": attention_bias,
    "CausalMask": causal_mask,
    "Concatenate1D": concatenate,
    "Dense": simple_dense,
    "Embedding": embedding,
    "FeedForward": feed_forward,
    "FirstToken": one_token,
    "GatedAttentionUnit": gated_attention,
    "GlobalAveragePooling1D": average,
    "LayerNormalization": layer_norm,
    "MultiHeadAttention": attention,
    "PositionEmbedding": position_embedding,
    "RelativePositionEmbedding": relative_positions,
    "RelativePositionEmbeddingT5": relative_positions_of_t5,
    "ScaleOffset": scale_offset,
    "SinusoidalPositionEmbedding": sinusoidal_positions,
    "UniLMMask": unilm_mask,
}
SCALES = ("scale", "offset", "conditional", "hidden_units", "hidden_activation")
ATTENTION = ("key_size", "attention_scale", "normalization")
# {kind: attributes of the layer that its definition reads}
ARGUMENTS = {
    "Activation": ("activation",),
    "Dense": ("activation",),
    "Embedding": ("mask_zero",),
    "FeedForward": ("activation",),
    "GatedAttentionUnit": ("units", "use_bias", "activation", *ATTENTION),
    "LayerNormalization": ("zero_mean", "unit_variance", "epsilon", *SCALES),
    "MultiHeadAttention": ("heads", "return_attention_scores", *ATTENTION),
    "PositionEmbedding": ("merge_mode", "hierarchical"),
    "RelativePositionEmbeddingT5": ("max_distance", "bidirectional"),
    "ScaleOffset": SCALES,
    "SinusoidalPositionEmbedding": ("merge_mode", "output_dim"),
}


def is_defined(call):
    """Whether there is a definition of what this call computes."""
    if call.kind == "GatedAttentionUnit" and not call.arguments.get("self_attention", True):
        return False
    return call.kind in DEFINITIONS


def compute(call, output=0):
    """An output of a call, in the precision of its inputs and weights."""
    outputs = DEFINITIONS[call.kind](call)
    return outputs[output] if isinstance(outputs, list) else outputs


# Masks

RELATIVE = ("RelativePositionEmbedding", "RelativePositionEmbeddingT5")
WITHOUT_MASK = ("AttentionBias", "CausalMask", "FirstToken", "GlobalAveragePooling1D", "UniLMMask", *RELATIVE)


def output_mask(call):
    """The mask that a call hands on, (batch, length), or None."""
    if call.kind in WITHOUT_MASK:
        return None
    if call.kind == "Embedding" and call.options.get("mode") != "dense":
        if not call.arguments["mask_zero"]:
            return None
        mask = call.inputs[0] != 0
        mask[:, 0] = True  # the first token is never masked
        return mask
    given = [mask for mask in call.masks if mask is not None]
    if call.kind == "Concatenate1D" and given:
        pairs = zip(call.inputs, call.masks)
        return np.concatenate([np.ones(x.shape[:2], bool) if mask is None else mask for x, mask in pairs], 1)
    if call.kind == "Add":
        return np.logical_and.reduce(given) if given else None
    return call.masks[0]
