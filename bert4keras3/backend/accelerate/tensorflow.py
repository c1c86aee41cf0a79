"""Matmuls in the form that TensorFlow fuses with bias and activation on a CPU."""

import functools

import keras
import tensorflow as tf
from keras import ops

from bert4keras3.backend.accelerate import xla_matmul
from bert4keras3.backend.accelerate.lora import with_lora
from bert4keras3.backend.accelerate.plain import (  # noqa: F401
    attention,
    dropout,
    gelu,
    layer_norm,
    rematerialize,
    to_assignable,
    use_fused_ops,
)
from bert4keras3.backend.accelerate.xla_matmul import (  # noqa: F401
    logits,
    transposed_kernels,
    with_transposed_kernels,
)


@with_lora
def dense(layer, inputs):
    """layer(inputs) of a Dense inside another layer, as a matmul of two matrices.

    TensorFlow fuses matmul, bias and ReLU or GELU. A reshape to (batch, length, units) between them prevents it.
    """
    has_matrices = tf.is_tensor(inputs) and len(inputs.shape) > 2 and not xla_matmul.is_row(inputs)
    if not has_matrices or not xla_matmul.is_plain(layer):
        return xla_matmul.dense(layer, inputs)
    outputs = tf.matmul(tf.reshape(inputs, (-1, inputs.shape[-1])), layer.kernel)
    if layer.bias is not None:
        outputs = tf.nn.bias_add(outputs, layer.bias)
    in_rows = is_fusable(layer.activation)  # TensorFlow fuses only what stands right behind the bias
    if in_rows:
        outputs = layer.activation(outputs)
    outputs = tf.reshape(outputs, (*ops.shape(inputs)[:-1], outputs.shape[-1]))
    return outputs if in_rows else layer.activation(outputs)


dense_group = functools.partial(xla_matmul.dense_group, dense)


def is_fusable(activation):
    """Whether TensorFlow fuses an activation. Another activation may depend on the axes of its inputs."""
    known = activation in (keras.activations.linear, keras.activations.relu)
    return known or getattr(activation, "is_elementwise", False)
