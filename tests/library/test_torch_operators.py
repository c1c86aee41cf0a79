"""What PyTorch computes in one operator is what several give; packed weights are never old ones."""

import numpy as np
import pytest
from small_models import build, inputs_of

from bert4keras3.backend import framework, ops

pytestmark = pytest.mark.skipif(framework != "torch", reason="about Keras 3 on PyTorch")

TOKENS = np.array([[2, 5, 9, 4, 0, 0], [2, 7, 7, 7, 3, 1]])


def predict(model):
    values = inputs_of(model, TOKENS)
    return model.predict(values if len(values) > 1 else values[0], verbose=0)


class OneDNN(dict):
    """As if oneDNN had been quicker at every size."""

    def __contains__(self, size):
        return True

    def __getitem__(self, size):
        return True


@pytest.fixture
def packed(monkeypatch):
    from bert4keras3.backend import keras3_torch

    monkeypatch.setattr(keras3_torch, "packed_linear", True)
    monkeypatch.setattr(keras3_torch, "quicker", OneDNN())
    return keras3_torch


@pytest.mark.parametrize("name", ["bert", "bert-unilm", "roformer", "t5.1.1"])
def test_one_operator_gives_what_several_give(name, monkeypatch):
    from bert4keras3.layers import attention, normalization

    model = build(name, with_nsp=False) if name == "bert" else build(name)
    fused = predict(model)
    monkeypatch.setattr(attention, "fuses", lambda: False)
    monkeypatch.setattr(normalization, "fuses", lambda: False)
    error = np.abs(fused - predict(model)).max()
    assert error < 1e-6, "largest difference %.1e" % error


def test_packed_weights_give_the_same(packed):
    model = build("bert-unilm")
    with_packing = predict(model)
    assert "packed" in model.get_layer("Transformer-0-FeedForward").o_dense.__dict__
    packed.packed_linear = False
    assert np.abs(with_packing - predict(model)).max() < 1e-6


def test_weights_that_change_after_packing_are_noticed(packed):
    model = build("bert-unilm")
    predict(model)
    layer = model.get_layer("Transformer-0-FeedForward")
    layer.set_weights([weight * 30 + 0.1 for weight in layer.get_weights()])
    with_packing = predict(model)
    packed.packed_linear = False
    assert np.abs(with_packing - predict(model)).max() < 1e-6


def test_gradients_do_not_go_through_packed_weights(packed):
    model = build("bert-unilm")
    ops.sum(model(inputs_of(model, TOKENS))[..., 0]).backward()
    gradient = model.get_layer("Transformer-0-FeedForward").o_dense.kernel.value.grad
    assert gradient is not None and bool((gradient != 0).any())
