"""The part of `keras.ops` that bert4keras3 uses, in TensorFlow 1.15 to 2.15, with the names and arguments of keras.ops.

`tests/library/test_ops.py` holds every function here, and its namesake in keras.ops, to the same NumPy results.
"""

import tensorflow as tf


def shape(x):
    """Shape as a tuple: int where it is known, a scalar tensor where it is not."""
    dynamic = tf.shape(x)
    return tuple(dynamic[i] if size is None else size for i, size in enumerate(x.shape.as_list()))


def cast(x, dtype):
    return tf.cast(x, dtype)


def convert_to_tensor(x, dtype=None):
    return tf.convert_to_tensor(x, dtype=dtype)


# Making, shaping and joining


def arange(start, stop=None, step=1, dtype=None):
    if stop is None:
        start, stop = 0, start
    return tf.range(start, stop, step, dtype=dtype)


def ones_like(x, dtype=None):
    return tf.ones_like(x, dtype=dtype)


def zeros_like(x, dtype=None):
    return tf.zeros_like(x, dtype=dtype)


def reshape(x, newshape):
    return tf.reshape(x, newshape)


def transpose(x, axes=None):
    return tf.transpose(x, axes)


def expand_dims(x, axis):
    return tf.expand_dims(x, axis)


def concatenate(xs, axis=0):
    return tf.concat(xs, axis)


def stack(x, axis=0):
    return tf.stack(x, axis)


def repeat(x, repeats, axis=None):
    return tf.repeat(x, repeats, axis=axis)


def broadcast_to(x, shape):
    return tf.broadcast_to(x, shape)


def take(x, indices, axis=None):
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    return tf.gather(x, indices, axis=axis)


# Arithmetic

add = tf.add
subtract = tf.subtract
multiply = tf.multiply
divide = tf.divide
power = tf.pow
maximum = tf.maximum
minimum = tf.minimum
square = tf.square
sqrt = tf.sqrt
rsqrt = tf.math.rsqrt
exp = tf.exp
log = tf.math.log
sin = tf.sin
cos = tf.cos
tanh = tf.tanh
matmul = tf.matmul


def einsum(subscripts, *operands):
    return tf.einsum(subscripts, *operands)


# Reductions


def sum(x, axis=None, keepdims=False):
    return tf.reduce_sum(x, axis=axis, keepdims=keepdims)


def mean(x, axis=None, keepdims=False):
    return tf.reduce_mean(x, axis=axis, keepdims=keepdims)


def max(x, axis=None, keepdims=False):
    return tf.reduce_max(x, axis=axis, keepdims=keepdims)


def cumsum(x, axis=None):
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    return tf.cumsum(x, axis=axis)


# Comparison and logic

equal = tf.equal
not_equal = tf.not_equal
less_equal = tf.less_equal
logical_and = tf.logical_and
where = tf.compat.v2.where


# Activations

relu = tf.nn.relu
silu = tf.nn.swish


def leaky_relu(x, negative_slope=0.2):
    return tf.nn.leaky_relu(x, alpha=negative_slope)


def gelu(x, approximate=True):
    if approximate:
        inner = 0.7978845608028654 * (x + 0.044715 * tf.pow(x, 3))  # sqrt(2 / pi)
        return 0.5 * x * (1.0 + tf.tanh(inner))
    return 0.5 * x * (1.0 + tf.math.erf(x * 0.7071067811865476))  # sqrt(1 / 2)


def softmax(x, axis=-1):
    return tf.nn.softmax(x, axis=axis)
