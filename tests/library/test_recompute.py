"""RECOMPUTE=1: gradients stay what they are."""

import numpy as np
import pytest

from bert4keras3.backend import framework, keras, ops, recompute
from bert4keras3.backend.accelerate import accelerates, implementation
from bert4keras3.backend.recompute import recompute_grad
from bert4keras3.layers import Dense, Embedding, FeedForward, GatedAttentionUnit, Input, MultiHeadAttention

pytestmark = pytest.mark.usefixtures("fresh_session")
IDS = np.array([[3, 1, 2, 0], [4, 5, 0, 0]], dtype="float32")
TARGETS = np.random.RandomState(0).normal(size=(2, 4, 6)).astype("float32")
LAYERS = {
    "attention": (MultiHeadAttention, dict(heads=2, head_size=3), 3),
    "attention-dropout": (MultiHeadAttention, dict(heads=2, head_size=3, attention_dropout=0.4), 3),
    "gated-attention": (GatedAttentionUnit, dict(units=8, key_size=4), 1),
    "feed-forward": (FeedForward, dict(units=8), 1),
}


def train(layer, count):
    """Weights of a small model after two steps."""
    ids = Input(shape=(None,))
    embedding, before = Embedding(9, 6, mask_zero=True), Dense(6, activation="tanh")
    x = before(embedding(ids))
    model = keras.models.Model(ids, layer([x] * count if count > 1 else x))
    random = np.random.RandomState(1)
    model.set_weights([random.normal(size=value.shape) * 0.3 for value in model.get_weights()])
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    for _ in range(2):
        model.train_on_batch(IDS, TARGETS)
    return model.get_weights()


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_recomputed_layers_train_the_same(monkeypatch, name):
    monkeypatch.setattr(recompute, "do_recompute", True)
    base, arguments, count = LAYERS[name]
    if "dropout" in name and keras.__name__ != "keras" and not hasattr(keras.utils, "set_random_seed"):
        pytest.skip("this tf.keras has no call that fixes all random numbers")
    recomputed = type("Recomputed", (base,), {"call": recompute_grad(base.call)})
    weights = []
    for kind in (base, recomputed):
        fix_random_numbers()
        weights.append(train(kind(**arguments), count))
    for one, other in zip(*weights):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def fix_random_numbers():
    np.random.seed(0)
    if hasattr(keras.utils, "set_random_seed"):
        keras.utils.set_random_seed(0)


def test_nothing_is_recomputed_unless_asked_for():
    def call(self, inputs, mask=None):
        return ops.exp(inputs)

    assert recompute_grad(call) is call


@pytest.mark.skipif(framework != "jax", reason="PyTorch and TensorFlow do not say what a program takes")
@pytest.mark.skipif(not accelerates(), reason="BERT4KERAS3_ACCELERATE=0 computes again by keras.remat")
def test_a_step_takes_less_memory_on_jax():
    """What XLA sets aside for the gradient through eight layers, each with 32 times the size of its input inside."""
    import jax

    def layer(x, kernels):
        return ops.tanh(ops.tanh(x @ kernels[0]) @ kernels[1])

    def memory(layer):
        def loss(all_kernels, x):
            for kernels in all_kernels:
                x = layer(x, kernels)
            return ops.sum(ops.square(x))

        kernels = [[np.ones((8, 256), "float32"), np.ones((256, 8), "float32")]] * 8
        step = jax.jit(jax.grad(loss)).lower(kernels, np.ones((512, 8), "float32"))
        return step.compile().memory_analysis().temp_size_in_bytes

    assert memory(implementation("jax").rematerialize(layer)) < 0.5 * memory(layer)
