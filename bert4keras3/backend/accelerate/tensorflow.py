"""What TensorFlow on a CPU computes in one operator where Keras's way gives several."""

import keras
import tensorflow as tf
from keras import ops

from bert4keras3.backend.accelerate import xla_matmul


def dense(layer, inputs):
    """layer(inputs) of a Dense that is part of a layer.

    As a product of matrices: TensorFlow adds a bias and applies ReLU or GELU in the product itself, but not where a
    reshape to (batch, length, units) comes between.
    """
    has_matrices = tf.is_tensor(inputs) and len(inputs.shape) > 2 and not xla_matmul.is_row(inputs)
    if not has_matrices or not xla_matmul.is_plain(layer):
        return xla_matmul.dense(layer, inputs)
    outputs = tf.matmul(tf.reshape(inputs, (-1, inputs.shape[-1])), layer.kernel)
    if layer.bias is not None:
        outputs = tf.nn.bias_add(outputs, layer.bias)
    in_rows = fits_rows(layer.activation)
    if in_rows:
        outputs = layer.activation(outputs)
    outputs = tf.reshape(outputs, (*ops.shape(inputs)[:-1], outputs.shape[-1]))
    return outputs if in_rows else layer.activation(outputs)


def fits_rows(activation):
    """Whether it is one that TensorFlow fuses; another's author may count on the axes of the outputs."""
    from bert4keras3.backend.functions import gelu_erf, gelu_tanh  # which need the backend first

    return activation in (keras.activations.linear, keras.activations.relu, gelu_erf, gelu_tanh)
