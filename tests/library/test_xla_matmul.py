"""Products done in another way give what the layer does: one row's, cut for the cores, int8's and bfloat16's, and
TensorFlow's of matrices.
"""

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
    from bert4keras3.backend.accelerate import xla_matmul as keras3_xla

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


def test_dense_of_a_subclass_is_its_own(xla):
    class Doubled(keras.layers.Dense):
        def call(self, inputs, training=None):
            return 2 * super().call(inputs)

    layer, inputs = Doubled(5), ops.convert_to_tensor(random(1, 12))
    expected = ops.convert_to_numpy(layer(inputs))
    np.testing.assert_array_equal(ops.convert_to_numpy(xla.dense(layer, inputs)), expected)


@pytest.mark.parametrize("vocabulary", [12, 13])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 1)])
def test_scores_of_a_vocabulary(xla, vocabulary, shape):
    layer = Embedding(vocabulary, 6)
    layer.build(None)
    inputs = random(*shape, 6)
    scores = xla.logits(layer, ops.convert_to_tensor(inputs), layer.embeddings)
    expected = inputs @ ops.convert_to_numpy(layer.embeddings).T
    np.testing.assert_allclose(ops.convert_to_numpy(scores), expected, atol=ROUNDING)


# int8


def quantized(layer, inputs, rounds_inputs):
    """The layer with int8 weights."""
    layer(inputs)
    options = {} if rounds_inputs else {"activation_quantizer": None}
    layer.quantize(config=keras.quantizers.Int8QuantizationConfig(**options))
    return layer


def dequantized(weight, scale):
    return ops.convert_to_numpy(weight).astype("float64") / ops.convert_to_numpy(scale)


@pytest.mark.parametrize("rounds_inputs", [True, False])
@pytest.mark.parametrize("units", [5, 8])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 1), (3, 2), (17, 1)])
@pytest.mark.parametrize("turns", [True, False])
def test_int8(xla, turns, shape, units, rounds_inputs):
    """What Keras computes, and without rounded inputs what the weights' values give in float64."""
    inputs = random(*shape, 12)
    inputs[0] *= 10  # each token has a scale of its own
    inputs = ops.convert_to_tensor(inputs)
    layers = [
        quantized(keras.layers.Dense(units, bias_initializer="ones", activation=name), inputs, rounds_inputs)
        for name in ("tanh", None)
    ]
    expected = [ops.convert_to_numpy(layer(inputs)) for layer in layers]
    groups = [layers, layers[:1]]
    with xla.with_transposed_kernels(groups, xla.transposed_kernels(groups) if turns else []):
        together = xla.dense_group(xla.dense, layers, inputs)
        alone = xla.dense(layers[0], inputs)
    for outputs, wanted in zip([alone] + together, [expected[0]] + expected):
        outputs = ops.convert_to_numpy(outputs)
        np.testing.assert_allclose(outputs, wanted, rtol=ROUNDING, atol=10 * ROUNDING)
        assert outputs.shape == wanted.shape
    if turns and np.prod(shape) * 3 <= 16 and not rounds_inputs:
        kernel = dequantized(layers[1]._kernel, layers[1].kernel_scale)
        exact = ops.convert_to_numpy(inputs).astype("float64") @ kernel + 1
        np.testing.assert_allclose(
            ops.convert_to_numpy(together[1]), exact, rtol=ROUNDING, atol=10 * ROUNDING
        )


@pytest.mark.parametrize("rounds_inputs", [True, False])
@pytest.mark.parametrize("vocabulary", [12, 13])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (3, 2), (17, 1)])
@pytest.mark.parametrize("turns", [True, False])
def test_int8_scores_of_a_vocabulary(xla, turns, shape, vocabulary, rounds_inputs):
    layer = quantized(Embedding(vocabulary, 6), np.zeros((1, 1), "int32"), rounds_inputs)
    rows = random(*shape, 6)
    groups = [[layer]]
    with xla.with_transposed_kernels(groups, xla.transposed_kernels(groups) if turns else []):
        scores = xla.logits(layer, ops.convert_to_tensor(rows), layer._embeddings, layer.embeddings_scale)
    if rounds_inputs:
        rows = int8_rounded(rows)
    expected = rows @ dequantized(layer._embeddings, layer.embeddings_scale[:, None]).T
    np.testing.assert_allclose(ops.convert_to_numpy(scores), expected, atol=ROUNDING)


def int8_rounded(rows):
    """The values that are left of them, with one scale for each token."""
    rounded, scale = keras.quantizers.abs_max_quantize(rows, axis=-1, to_numpy=True)
    return ops.convert_to_numpy(rounded).astype("float64") / ops.convert_to_numpy(scale)


@pytest.mark.skipif(framework != "jax", reason="about matmuls of JAX")
def test_int8_scores_of_many_tokens_have_the_gradient_of_the_weights_values():
    import jax

    from bert4keras3.backend.accelerate import jax as jax_path

    layer = quantized(Embedding(13, 6), np.zeros((1, 1), "int32"), rounds_inputs=True)
    rows, upstream = random(3, 20, 6), random(3, 20, 13)
    table, scale = layer._embeddings.value, layer.embeddings_scale.value
    scores, gradient = jax.vjp(lambda rows: jax_path.logits(layer, rows, table, scale), rows)
    values = dequantized(table, scale[:, None])
    np.testing.assert_allclose(scores, int8_rounded(rows) @ values.T, atol=ROUNDING)
    np.testing.assert_allclose(gradient(upstream)[0], upstream @ values, atol=ROUNDING)


# bfloat16


@pytest.mark.skipif(framework != "jax", reason="about matmuls of JAX")
@pytest.mark.parametrize("policy", ["bfloat16", "mixed_bfloat16"])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (0, 3), (2, 3)])
def test_bfloat16(shape, policy):
    """One rounding of each matmul, and gradients of the type of the weights and inputs."""
    import jax

    from bert4keras3.backend.accelerate import jax as jax_path

    layer = keras.layers.Dense(5, bias_initializer="ones", dtype=policy)
    embedding = Embedding(13, 12, dtype=policy)
    inputs = ops.cast(random(*shape, 12), "bfloat16")
    layer.build(inputs.shape)
    embedding.build(None)
    exact = np.asarray(inputs, "float64")
    table = ops.cast(embedding.embeddings, "bfloat16")
    kernel = np.asarray(ops.cast(layer.kernel, "bfloat16"), "float64")
    for got, expected in (
        (jax_path.dense(layer, inputs), exact @ kernel + 1),
        (jax_path.logits(embedding, inputs, table), exact @ np.asarray(table, "float64").T),
    ):
        assert got.dtype == "bfloat16" and got.shape == expected.shape
        np.testing.assert_allclose(np.asarray(got, "float64"), expected, rtol=2**-8, atol=1e-6)

    def total(kernel, inputs):
        with keras.StatelessScope([(layer._kernel, kernel)]):
            return ops.sum(jax_path.dense(layer, inputs))

    of_kernel, of_inputs = jax.grad(total, argnums=(0, 1))(layer.kernel.value, inputs)
    assert of_kernel.dtype == layer.kernel.dtype and of_inputs.dtype == "bfloat16"
    expected = np.broadcast_to(exact.reshape(-1, 12).sum(axis=0)[:, None], kernel.shape)
    np.testing.assert_allclose(np.asarray(of_kernel, "float64"), expected, rtol=2**-7, atol=2**-7)


@pytest.mark.skipif(framework != "tensorflow", reason="about matmuls of TensorFlow")
@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize(
    "activation", [None, "relu", "gelu", "softmax", lambda x: x - ops.mean(x, axis=1, keepdims=True)]
)
def test_dense_of_matrices(in_graph, activation):
    """A batch whose sizes are not known, too; an activation may count on the axes of the outputs."""
    import tensorflow as tf

    from bert4keras3.backend.accelerate import tensorflow as tensorflow_path

    layer = keras.layers.Dense(5, activation=activation, bias_initializer="ones")
    inputs = tf.constant(random(2, 3, 4))
    expected = layer(inputs)
    compute = functools.partial(tensorflow_path.dense, layer)
    if in_graph:
        compute = tf.function(compute, input_signature=[tf.TensorSpec((None, None, 4))])
    outputs = compute(inputs)
    assert outputs.shape == expected.shape
    np.testing.assert_allclose(outputs.numpy(), expected.numpy(), atol=ROUNDING)
