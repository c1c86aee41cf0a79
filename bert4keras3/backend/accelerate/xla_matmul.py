"""Matmuls of few rows, as for each generated token, by XLA on a CPU.

float32   XLA gives the matmul of one row and a bias to one core, and splits a small matmul badly over several cores.
          A split-K matmul, one split for each core, reads BERT-base's weights 1.2 times as fast on JAX and 1.9 times
          as fast on TensorFlow.
int8      XLA multiplies one row by a plain loop. From two rows on it packs the second matrix at each call, which takes
          longer for a weight than the matmul. So the weight comes first, as (units, size), and rows become columns. A
          Dense stores its kernel as (size, units), so decoding keeps a transposed copy. BERT-base's weights then take
          half of float32's time on an AMD EPYC (AVX-512). With two rows Keras's own form takes float32's time.
"""

import contextlib
import functools
import math
import os
from contextvars import ContextVar

import keras
import numpy as np
from keras import ops

from bert4keras3.backend.accelerate import plain
from bert4keras3.backend.accelerate.quantized import is_int8, rounds_inputs
from bert4keras3.backend.keras3.private import own_weight

MOST_SPLITS = 4  # XLA gives a matmul over 64 rows of weights, as eight splits of 512 have, to one core again
MOST_COLUMNS = 16  # of int8: more columns take longer than Keras's own form
BLOCK = 4  # this many int8 columns take as long as one column
EXPANSION = 254  # the residual of a rounded number, times this, is between -127 and 127 again

# While this thread traces decoding: {ids of the layers of a group: their int8 weights, (units, size)}
transposed: ContextVar = ContextVar("transposed", default=None)


def dense(layer, inputs):
    """layer(inputs) of a Dense inside another layer."""
    kernel = transposed_kernel([layer], inputs)
    if kernel is not None:
        return finish_dense(layer, int8_matmul(layer, inputs, kernel, layer.kernel_scale))
    if is_row(inputs) and is_plain(layer) and num_splits(inputs.shape[-1]) > 1:
        return finish_dense(layer, split_k_matmul(inputs, layer.kernel))
    if is_row(inputs) and is_int8(layer) and rounds_inputs(layer) and is_on_cpu():
        return with_two_rows(layer, inputs)
    return layer(inputs)


def dense_group(dense, layers, inputs):
    """[dense(layer, inputs) for layer in layers], in one matmul if their kernels were transposed as one."""
    kernel = transposed_kernel(layers, inputs)
    if kernel is None:
        return [dense(layer, inputs) for layer in layers]
    scale = ops.concatenate([layer.kernel_scale for layer in layers])
    outputs = int8_matmul(layers[0], inputs, kernel, scale)
    ends = np.cumsum([layer.units for layer in layers[:-1]]).tolist()
    return [finish_dense(layer, one) for layer, one in zip(layers, ops.split(outputs, ends, axis=-1))]


def with_two_rows(matmul, inputs):
    """matmul(inputs) of one row. XLA multiplies two rows by a fast kernel, one row by a plain loop."""
    return matmul(ops.concatenate([inputs, inputs], axis=-2))[..., :1, :]


def finish_dense(layer, outputs):
    """Add the bias of a Dense, round to its compute dtype, apply its activation."""
    if layer.bias is not None:
        outputs = outputs + ops.cast(layer.bias, outputs.dtype)
    outputs = ops.cast(outputs, layer.compute_dtype)
    return outputs if layer.activation is None else layer.activation(outputs)


def split_k_matmul(inputs, kernel):
    """inputs @ kernel of one row, as the sum of one matmul for each core."""
    splits = num_splits(inputs.shape[-1])
    rows = ops.reshape(inputs, (splits, 1, -1))
    kernels = ops.reshape(kernel, (splits, -1, kernel.shape[1]))
    return ops.reshape(ops.sum(ops.matmul(rows, kernels), axis=0), (*inputs.shape[:-1], -1))


def logits(layer, inputs, table, scale=None):
    """inputs @ (table / scale)ᵀ of an Embedding, as plain.logits defines it."""
    if is_few(layer, inputs):
        scores = int8_matmul(layer, inputs, transposed.get().get((id(layer),), table), scale)
        return ops.cast(scores, layer.compute_dtype)
    if not is_row(inputs):
        return plain.logits(layer, inputs, table, scale)
    if is_int8(layer) and rounds_inputs(layer):
        inputs = plain.rounded(inputs)
    table = ops.cast(table, layer.compute_dtype)
    # The table comes first: XLA on TensorFlow would transpose it for each token.
    splits = num_splits(table.shape[0])
    tables = ops.reshape(table, (splits, -1, table.shape[1]))
    scores = ops.matmul(tables, ops.tile(ops.reshape(inputs, (1, -1, 1)), (splits, 1, 1)))
    scores = ops.reshape(scores, (*inputs.shape[:-1], -1))
    return scores if scale is None else scores / scale


def transposed_kernels(groups):
    """The int8 weights of groups of layers that share their inputs, as `with_transposed_kernels` takes them."""
    groups = quantized_groups(groups) if is_on_cpu() else []
    return [padded(ops.concatenate([units_first(layer) for layer in group])) for group in groups]


@contextlib.contextmanager
def with_transposed_kernels(groups, kernels):
    """Context in which few rows of int8 are multiplied by transposed weights. Such a matmul has no gradient."""
    found = {tuple(map(id, group)): kernel for group, kernel in zip(quantized_groups(groups), kernels)}
    token = transposed.set(found if is_on_cpu() else None)
    try:
        yield
    finally:
        transposed.reset(token)


def quantized_groups(groups):
    return [group for group in groups if all(map(needs_transposing, group))]


def needs_transposing(layer):
    if isinstance(layer, keras.layers.Embedding):
        return is_int8(layer) and layer.input_dim % BLOCK > 0
    return is_int8(layer) and type(layer) is keras.layers.Dense


def units_first(layer):
    """The int8 weight of a layer, (units, size)."""
    weight = own_weight(layer)
    return weight if isinstance(layer, keras.layers.Embedding) else ops.transpose(weight)


def transposed_kernel(layers, inputs):
    """The transposed weight of a group; None without one, or with too many rows."""
    return transposed.get().get(tuple(map(id, layers))) if is_few(layers[0], inputs) else None


def is_few(layer, inputs):
    """Whether sequences are decoded, with so few rows that transposed int8 weights are faster."""
    if transposed.get() is None or not is_int8(layer):
        return False
    return math.prod(inputs.shape[:-1]) * num_terms(layer) <= MOST_COLUMNS


def num_terms(layer):
    """Terms of the int8 expansion of an input: one if the layer rounds its inputs, three for float32's 24 bits."""
    return 1 if rounds_inputs(layer) else 3


def int8_matmul(layer, inputs, weight, scale):
    """inputs @ (weight / scale)ᵀ of few rows in float32, by an int8 residual expansion of the inputs.

    Args:
        weight: int8, (units, size).
        scale: one number for each unit.
    """
    columns = ops.transpose(ops.cast(ops.reshape(inputs, (-1, inputs.shape[-1])), "float32"))  # (size, rows)
    count = columns.shape[1]
    steps = 127 / (ops.max(ops.abs(columns), axis=0) + keras.config.epsilon())  # Keras's scales
    rest, terms = columns * steps, []
    for _ in range(num_terms(layer)):
        terms.append(ops.round(rest))
        rest = (rest - terms[-1]) * EXPANSION
    sums = block_diagonal_matmul(padded(weight), ops.concatenate(terms, axis=1))  # (units, columns)
    sums = ops.cast(sums, "float32")
    outputs = sum(sums[:, i * count : (i + 1) * count] / EXPANSION**i for i in range(len(terms)))
    outputs = ops.transpose(outputs[: scale.shape[0]] / steps) / scale
    return ops.reshape(outputs, (*inputs.shape[:-1], -1))


def padded(weight):
    """(units, size) with rows of zeros until BLOCK divides the units."""
    return ops.pad(weight, [(0, -weight.shape[0] % BLOCK), (0, 0)])


def block_diagonal_matmul(weight, columns):
    """weight @ columns, int32 of int8 numbers, in block-diagonal packing.

    XLA's kernel computes BLOCK columns at once. Several rows of the weight form one row, and each block of the other
    matrix multiplies one of them, so that fewer columns stay empty.
    """
    (units, size), count = weight.shape, columns.shape[1]
    blocks = max(BLOCK // count, 1)
    diagonal = ops.reshape(ops.eye(blocks), (blocks, 1, blocks, 1)) * ops.reshape(
        columns, (1, size, 1, count)
    )
    diagonal = ops.cast(ops.reshape(diagonal, (blocks * size, blocks * count)), "int8")
    sums = ops.matmul(ops.reshape(weight, (units // blocks, blocks * size)), diagonal)
    return ops.reshape(sums, (units, count))


def is_row(inputs):
    return set(inputs.shape[:-1]) == {1}


def num_splits(size):
    """Number of equal splits of a matmul over this many rows of weights, at most one for each core."""
    return next(splits for splits in range(min(cores(), MOST_SPLITS), 0, -1) if size % splits == 0)


def is_plain(layer):
    """Whether a layer computes activation(inputs @ kernel + bias) in the dtype of its weights."""
    is_unquantized = type(layer) is keras.layers.Dense and layer.quantization_mode is None
    return is_unquantized and layer.compute_dtype == layer.variable_dtype


@functools.lru_cache(maxsize=None)
def is_on_cpu():
    """Whether XLA runs on a CPU."""
    if keras.config.backend() == "jax":
        import jax

        return jax.default_backend() == "cpu"
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


@functools.lru_cache(maxsize=None)
def cores():
    """Number of cores for XLA; 1 on another device."""
    return len(os.sched_getaffinity(0)) if is_on_cpu() and hasattr(os, "sched_getaffinity") else 1
