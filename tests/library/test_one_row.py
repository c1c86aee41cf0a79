"""The product of one row, cut into one for each core, is the layer's own."""

import numpy as np
import pytest

from bert4keras3.backend import framework, keras, ops
from bert4keras3.layers import Embedding

pytestmark = pytest.mark.skipif(
    framework not in ("jax", "tensorflow"), reason="about what Keras 3 computes by XLA"
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
