"""Products of few rows, as each token takes that is written, by XLA on a CPU.

float32   XLA gives the product of one row to one core where it adds a bias to it, and cuts a small one badly for
          several. A sum of products, one for each core, reads BERT-base's weights 1.2 times as fast on JAX and 1.9
          times on TensorFlow.
int8      XLA multiplies one row by a plain loop; from two on it packs the second of two matrices each time, which for
          a weight takes longer than the product. So the weight is the first one, (units, size), and rows become
          columns. A Dense has its kernel the other way round: while texts are written there is a turned one too.
          BERT-base's weights take half of float32's time so on an AMD EPYC (AVX-512). With two rows of Keras's own
          way it would be the same time as float32's.
"""

import contextlib
import functools
import math
import os
from contextvars import ContextVar

import keras
import numpy as np
from keras import ops

from bert4keras3.backend.accelerate.quantized import is_int8, rounds_inputs

MOST_PARTS = 4  # XLA gives a product over 64 rows of weights, as eight parts of 512 are, to one core again
MOST_COLUMNS = 16  # of int8: with more they take longer than Keras's way
FOLD = 4  # so many columns of int8 take as long as one
DIGIT = 254  # what is left of a number that was rounded, times this, is between -127 and 127 again

# While this thread traces generation: {ids of layers: their int8 weights together, (units, size)}
turned: ContextVar = ContextVar("turned", default=None)


def dense(layer, inputs):
    """layer(inputs) of a Dense that is part of a layer."""
    kernel = turned_kernel([layer], inputs)
    if kernel is not None:
        return finished(layer, int8_product(layer, inputs, kernel, layer.kernel_scale))
    if is_row(inputs) and is_plain(layer) and parts_of(inputs.shape[-1]) > 1:
        return finished(layer, sum_of_products(inputs, layer.kernel))
    if is_row(inputs) and is_int8(layer) and rounds_inputs(layer) and is_on_cpu():
        return by_two_rows(layer, inputs)
    return layer(inputs)


def dense_group(layers, inputs):
    """[layer(inputs)] of Dense layers whose kernels were turned together; None of others."""
    kernel = turned_kernel(layers, inputs)
    if kernel is None:
        return None
    scale = ops.concatenate([layer.kernel_scale for layer in layers])
    outputs = int8_product(layers[0], inputs, kernel, scale)
    ends = np.cumsum([layer.units for layer in layers[:-1]]).tolist()
    return [finished(layer, one) for layer, one in zip(layers, ops.split(outputs, ends, axis=-1))]


def by_two_rows(product, inputs):
    """product(inputs) of one row, which XLA would multiply by a plain loop."""
    return product(ops.concatenate([inputs, inputs], axis=-2))[..., :1, :]


def finished(layer, outputs):
    """What a Dense makes of its product, which is rounded after the bias where it is wider than the layer's type."""
    if layer.bias is not None:
        outputs = outputs + ops.cast(layer.bias, outputs.dtype)
    outputs = ops.cast(outputs, layer.compute_dtype)
    return outputs if layer.activation is None else layer.activation(outputs)


def sum_of_products(inputs, kernel):
    """inputs @ kernel of one row."""
    parts = parts_of(inputs.shape[-1])
    rows = ops.reshape(inputs, (parts, 1, -1))
    kernels = ops.reshape(kernel, (parts, -1, kernel.shape[1]))
    return ops.reshape(ops.sum(ops.matmul(rows, kernels), axis=0), (*inputs.shape[:-1], -1))


def project(layer, inputs, table, scale=None):
    """inputs @ (table / scale)ᵀ of an Embedding, the table (units, size) and a scale for each unit."""
    if is_few(layer, inputs):
        scores = int8_product(layer, inputs, turned.get().get((id(layer),), table), scale)
        return ops.cast(scores, layer.compute_dtype)
    if is_int8(layer) and rounds_inputs(layer):
        inputs = rounded(inputs)
    table = ops.cast(table, layer.compute_dtype)
    if is_row(inputs):
        # the table first: by XLA on TensorFlow it would be copied the other way round for each token
        parts = parts_of(table.shape[0])
        tables = ops.reshape(table, (parts, -1, table.shape[1]))
        scores = ops.matmul(tables, ops.tile(ops.reshape(inputs, (1, -1, 1)), (parts, 1, 1)))
        scores = ops.reshape(scores, (*inputs.shape[:-1], -1))
    else:
        scores = ops.matmul(inputs, ops.transpose(table))
    return scores if scale is None else scores / scale


def rounded(inputs):
    """What int8 leaves of them; gradients are those of the inputs."""
    whole, steps = keras.quantizers.abs_max_quantize(inputs, axis=-1)
    return inputs + ops.stop_gradient(ops.cast(whole, inputs.dtype) / steps - inputs)


def transposed_kernels(groups):
    """The int8 weights of groups of layers, each of the same inputs, as `with_transposed_kernels` takes them."""
    groups = groups_to_turn(groups) if is_on_cpu() else []
    return [padded(ops.concatenate([weight_of(layer) for layer in group])) for group in groups]


@contextlib.contextmanager
def with_transposed_kernels(groups, kernels):
    """Where few rows of int8 are multiplied the quick way, which has no gradients."""
    found = {tuple(map(id, group)): kernel for group, kernel in zip(groups_to_turn(groups), kernels)}
    token = turned.set(found if is_on_cpu() else None)
    try:
        yield
    finally:
        turned.reset(token)


def groups_to_turn(groups):
    return [group for group in groups if all(map(is_to_turn, group))]


def is_to_turn(layer):
    if isinstance(layer, keras.layers.Embedding):
        return is_int8(layer) and layer.input_dim % FOLD > 0
    return is_int8(layer) and type(layer) is keras.layers.Dense


def weight_of(layer):
    """(units, size)"""
    return layer._embeddings if isinstance(layer, keras.layers.Embedding) else ops.transpose(layer._kernel)


def turned_kernel(layers, inputs):
    """Theirs, None where there is none for so many inputs."""
    return turned.get().get(tuple(map(id, layers))) if is_few(layers[0], inputs) else None


def is_few(layer, inputs):
    """Whether texts are written, and with so few rows that int8 goes the quick way."""
    if turned.get() is None or not is_int8(layer):
        return False
    return math.prod(inputs.shape[:-1]) * digits_of(layer) <= MOST_COLUMNS


def digits_of(layer):
    """How many int8 numbers stand for one of the inputs: one where they are to be rounded, else float32's 24 bits."""
    return 1 if rounds_inputs(layer) else 3


def int8_product(layer, inputs, weight, scale):
    """inputs @ (weight / scale)ᵀ of few rows in float32, the weight (units, size)."""
    columns = ops.transpose(ops.cast(ops.reshape(inputs, (-1, inputs.shape[-1])), "float32"))  # (size, rows)
    count = columns.shape[1]
    steps = 127 / (ops.max(ops.abs(columns), axis=0) + keras.config.epsilon())  # as Keras has them
    rest, digits = columns * steps, []
    for _ in range(digits_of(layer)):
        digits.append(ops.round(rest))
        rest = (rest - digits[-1]) * DIGIT
    sums = folded_product(padded(weight), ops.concatenate(digits, axis=1))  # (units, columns)
    sums = ops.cast(sums, "float32")
    outputs = sum(sums[:, i * count : (i + 1) * count] / DIGIT**i for i in range(len(digits)))
    outputs = ops.transpose(outputs[: scale.shape[0]] / steps) / scale
    return ops.reshape(outputs, (*inputs.shape[:-1], -1))


def padded(weight):
    """(units, size) with zeros until FOLD divides the units."""
    return ops.pad(weight, [(0, -weight.shape[0] % FOLD), (0, 0)])


def folded_product(weight, columns):
    """weight @ columns, int32 of whole numbers in int8. The columns of YNNPACK that would stay empty take other units.

    Rows of the weight stand side by side, of which each column of the other matrix reads one.
    """
    (units, size), count = weight.shape, columns.shape[1]
    fold = max(FOLD // count, 1)
    blocks = ops.reshape(ops.eye(fold), (fold, 1, fold, 1)) * ops.reshape(columns, (1, size, 1, count))
    blocks = ops.cast(ops.reshape(blocks, (fold * size, fold * count)), "int8")
    sums = ops.matmul(ops.reshape(weight, (units // fold, fold * size)), blocks)
    return ops.reshape(sums, (units, count))


def is_row(inputs):
    return set(inputs.shape[:-1]) == {1}


def parts_of(size):
    """Into how many equal parts a product over so many rows of weights is cut."""
    return next(parts for parts in range(min(cores(), MOST_PARTS), 0, -1) if size % parts == 0)


def is_plain(layer):
    """Whether it computes activation(inputs @ kernel + bias) in the type of its weights."""
    return (
        type(layer) is keras.layers.Dense
        and layer.quantization_mode is None
        and layer.compute_dtype == layer.variable_dtype
    )


@functools.lru_cache(maxsize=None)
def is_on_cpu():
    """Whether XLA computes, on a CPU."""
    framework = keras.config.backend()
    if framework == "jax":
        import jax

        return jax.default_backend() == "cpu"
    if framework == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_physical_devices("GPU")
    return False


@functools.lru_cache(maxsize=None)
def cores():
    """Cores that XLA computes with; 1 where it computes on another device, or something else does."""
    return len(os.sched_getaffinity(0)) if is_on_cpu() and hasattr(os, "sched_getaffinity") else 1
