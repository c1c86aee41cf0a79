"""The functions of `keras.ops` that bert4keras3 uses, on TensorFlow 1.15 to 2.15, with the same names and arguments.

`tests/library/test_ops.py` compares every function here, and the function of keras.ops, with NumPy.
"""

import tensorflow as tf


def shape(x):
    """Shape as a tuple, with a scalar tensor for each unknown size."""
    dynamic = tf.shape(x)
    return tuple(dynamic[i] if size is None else size for i, size in enumerate(x.shape.as_list()))


cast = tf.cast


def convert_to_tensor(x, dtype=None):
    return tf.convert_to_tensor(x, dtype=dtype)


# Creating, reshaping and joining


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


def pad(x, pad_width):
    return tf.pad(x, pad_width)


def one_hot(x, num_classes):
    return tf.one_hot(x, num_classes)


def take(x, indices, axis=None):
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    return tf.gather(x, indices, axis=axis)


def take_along_axis(x, indices, axis=None):
    """All axes but `axis` broadcast, as in keras.ops."""
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    ndim = x.shape.ndims
    last = [i for i in range(ndim) if i != axis % ndim] + [axis % ndim]
    x, indices = tf.transpose(x, last), tf.transpose(indices, last)
    batch = tf.broadcast_dynamic_shape(tf.shape(x)[:-1], tf.shape(indices)[:-1])
    x = tf.broadcast_to(x, tf.concat([batch, tf.shape(x)[-1:]], 0))
    indices = tf.broadcast_to(indices, tf.concat([batch, tf.shape(indices)[-1:]], 0))
    taken = tf.gather(x, indices, batch_dims=ndim - 1)
    return tf.transpose(taken, [last.index(i) for i in range(ndim)])


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
einsum = tf.einsum


# Reductions


def sum(x, axis=None, keepdims=False):
    return tf.reduce_sum(x, axis=axis, keepdims=keepdims)


def mean(x, axis=None, keepdims=False):
    return tf.reduce_mean(x, axis=axis, keepdims=keepdims)


def max(x, axis=None, keepdims=False):
    return tf.reduce_max(x, axis=axis, keepdims=keepdims)


def min(x, axis=None, keepdims=False):
    return tf.reduce_min(x, axis=axis, keepdims=keepdims)


def all(x, axis=None, keepdims=False):
    return tf.reduce_all(x, axis=axis, keepdims=keepdims)


def logsumexp(x, axis=None, keepdims=False):
    return tf.reduce_logsumexp(x, axis=axis, keepdims=keepdims)


def argmax(x, axis=None):
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    return tf.argmax(x, axis=axis, output_type="int32")


def cumsum(x, axis=None):
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    return tf.cumsum(x, axis=axis)


# Comparison and logic

equal = tf.equal
not_equal = tf.not_equal
greater = tf.greater
greater_equal = tf.greater_equal
less = tf.less
less_equal = tf.less_equal
logical_and = tf.logical_and
logical_or = tf.logical_or
where = tf.compat.v2.where


# Loops and windows


def scan(f, init, xs):
    """Loop over the first axis of xs.

    Args:
        f: (carry, x) → (carry, y). y has the structure of the carry.
        init: the first carry.
        xs: tensors with the same first size.

    Returns:
        The last carry and the stacked ys.
    """
    length = tf.shape(tf.nest.flatten(xs)[0])[0]
    ys = [tf.TensorArray(one.dtype, length, element_shape=one.shape) for one in tf.nest.flatten(init)]

    def step(i, carry, ys):
        carry, y = f(carry, tf.nest.map_structure(lambda x: x[i], xs))
        return i + 1, carry, [array.write(i, one) for array, one in zip(ys, tf.nest.flatten(y))]

    _, carry, ys = tf.while_loop(lambda i, *_: i < length, step, [0, init, ys])
    return carry, tf.nest.pack_sequence_as(init, [array.stack() for array in ys])


def max_pool(inputs, pool_size, strides=None, padding="valid"):
    """inputs: (batch, length, size)."""
    return tf.nn.pool(inputs, [pool_size], "MAX", strides=[strides or pool_size], padding=padding.upper())


def average_pool(inputs, pool_size, strides=None, padding="valid"):
    """inputs: (batch, length, size)."""
    return tf.nn.pool(inputs, [pool_size], "AVG", strides=[strides or pool_size], padding=padding.upper())


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
