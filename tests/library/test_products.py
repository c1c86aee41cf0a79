"""Products done in another way give what the layer does: one row's, cut for the cores, and TensorFlow's of matrices."""

import functools

import numpy as np
import pytest

from bert4keras3.backend import FLAVOUR, framework, keras, ops
from bert4keras3.layers import Embedding

pytestmark = pytest.mark.skipif(
    FLAVOUR != "keras3" or framework not in ("jax", "tensorflow"),
    reason="about what Keras 3 computes by XLA",
)

ROUNDING = 1e-6  # of sums of some ten products of numbers around 1


@pytest.fixture(params=[1, 2, 3, 16])
def xla(request, monkeypatch):
    """The module, on a machine of so many cores."""
    from bert4keras3.backend import keras3_xla

    monkeypatch.setattr(keras3_xla, "cores", lambda: request.param)
    return keras3_xla


def random(*shape):
    return np.random.RandomState(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 1)])
@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"activation": "tanh"}], ids=str)
def test_dense(xla, size, shape, options):
    layer = keras.layers.Dense(5, bias_initializer="ones", **options)
    inputs = ops.convert_to_tensor(random(*shape, size))
    expected = ops.convert_to_numpy(layer(inputs))
    outputs = ops.convert_to_numpy(xla.dense(layer, inputs))
    assert outputs.shape == expected.shape
    np.testing.assert_allclose(outputs, expected, atol=ROUNDING)


def test_dense_of_a_subclass_or_quantized_is_its_own(xla):
    class Doubled(keras.layers.Dense):
        def call(self, inputs, training=None):
            return 2 * super().call(inputs)

    inputs = ops.convert_to_tensor(random(1, 12))
    for layer in (Doubled(5), keras.layers.Dense(5)):
        layer(inputs)
        if type(layer) is keras.layers.Dense:
            layer.quantize("int8")
        np.testing.assert_array_equal(
            ops.convert_to_numpy(xla.dense(layer, inputs)), ops.convert_to_numpy(layer(inputs))
        )


@pytest.mark.parametrize("vocabulary", [12, 13])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 1)])
def test_scores_of_a_vocabulary(xla, vocabulary, shape):
    layer = Embedding(vocabulary, 6)
    layer.build(None)
    inputs = random(*shape, 6)
    scores = xla.project(layer, ops.convert_to_tensor(inputs), layer.embeddings)
    expected = inputs @ ops.convert_to_numpy(layer.embeddings).T
    np.testing.assert_allclose(ops.convert_to_numpy(scores), expected, atol=ROUNDING)


@pytest.mark.skipif(framework != "tensorflow", reason="about TensorFlow's products")
@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize(
    "activation", [None, "relu", "gelu", "softmax", lambda x: x - ops.mean(x, axis=1, keepdims=True)]
)
def test_dense_of_matrices(in_graph, activation):
    """A batch whose sizes are not known, too; an activation may count on the axes of the outputs."""
    import tensorflow as tf

    from bert4keras3.backend import keras3_tensorflow

    layer = keras.layers.Dense(5, activation=activation, bias_initializer="ones")
    inputs = tf.constant(random(2, 3, 4))
    expected = layer(inputs)
    compute = functools.partial(keras3_tensorflow.dense, layer)
    if in_graph:
        compute = tf.function(compute, input_signature=[tf.TensorSpec((None, None, 4))])
    outputs = compute(inputs)
    assert outputs.shape == expected.shape
    np.testing.assert_allclose(outputs.numpy(), expected.numpy(), atol=ROUNDING)
