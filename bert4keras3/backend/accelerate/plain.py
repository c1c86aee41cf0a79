"""The definition of each accelerated function, written with Keras. Tests compare every path with this file.

A path imports from here the functions that it does not accelerate.
"""

import contextlib

from bert4keras3.backend.accelerate.quantized import is_int8, rounds_inputs
from bert4keras3.backend.flavour import FLAVOUR
from bert4keras3.backend.package import keras

if FLAVOUR == "keras3":
    ops = keras.ops
else:
    from bert4keras3.backend.keras2 import ops


def dense(layer, inputs):
    """layer(inputs) of a Dense inside another layer; inputs: (batch, …, size)."""
    return layer(inputs)


def dense_group(layers, inputs):
    """[dense(layer, inputs) for layer in layers], as for queries, keys and values."""
    return [dense(layer, inputs) for layer in layers]


def logits(layer, inputs, table, scale=None):
    """inputs @ (table / scale)ᵀ of an Embedding: (batch, …, size) → (batch, …, units).

    Args:
        table: the weight of the layer, (units, size), in the compute dtype or int8.
        scale: one number for each row of an int8 table, (units,).
    """
    if scale is None:
        return ops.matmul(inputs, ops.transpose(table))
    if is_int8(layer) and rounds_inputs(layer):
        inputs = rounded(inputs)
    return ops.matmul(inputs, ops.transpose(ops.cast(table, layer.compute_dtype))) / scale


def rounded(inputs):
    """Inputs rounded to int8, one scale for each token. The gradient is the gradient of the inputs."""
    # The difference has no gradient, because rounding has none.
    integers, scales = keras.quantizers.abs_max_quantize(inputs, axis=-1)
    return inputs + ops.stop_gradient(ops.cast(integers, inputs.dtype) / scales - inputs)


def dropout(layer, inputs):
    """inputs · mask / (1 − rate) of a Dropout with a rate between 0 and 1, in training."""
    return keras.layers.Dropout.call(layer, inputs, training=True)


def gelu(x):
    """x · Φ(x), exactly."""
    return ops.gelu(x, approximate=False)


def layer_norm(x, gamma, beta, epsilon):
    """(x − mean) / √(variance + epsilon) · gamma + beta over the last axis; gamma and beta: (size,)."""
    x = x - ops.mean(x, axis=-1, keepdims=True)
    x = x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + epsilon)
    return x * ops.cast(gamma, x.dtype) + ops.cast(beta, x.dtype)


def attention(query, key, value, bias, scale):
    """softmax(query · keyᵀ · scale + bias) · value, each (batch, length, head, size).

    Args:
        bias: broadcasts to (batch, head, query, key); None for no bias.
    """
    scores = ops.einsum("bjhd,bkhd->bhjk", query * scale, key)
    weights = ops.softmax(scores if bias is None else scores + bias, axis=-1)
    return ops.einsum("bhjk,bkhd->bjhd", weights, value)


def use_fused_ops(query, key, training):
    """Whether attention layers call `attention` for these heads, because it is faster than their own steps."""
    return False


def transposed_kernels(groups):
    """Transposed int8 weights for decoding, for groups of layers that share their inputs; none here."""
    return []


def with_transposed_kernels(groups, kernels):
    """Context in which `dense`, `dense_group` and `logits` use these weights."""
    return contextlib.nullcontext()


def to_assignable(array):
    """A NumPy array for `assign`. A read-only array is copied, because a framework may keep the pages of a file."""
    return array if array.flags.writeable else array.copy()


def rematerialize(compute):
    """compute(inputs, variables), which the backward pass computes again instead of keeping its results."""
    return keras.remat(compute)
