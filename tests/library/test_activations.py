"""Activations by name: bert4keras's, Keras's and those in configurations of Hugging Face."""

from math import erf

import numpy as np
import pytest

from bert4keras3 import backend, layers, ops
from bert4keras3.backend import K, keras
from bert4keras3.models import build_transformer_model

pytestmark = pytest.mark.usefixtures("fresh_session")
X = np.linspace(-12, 12, 97).astype("float32")
TANH_FORM = 0.5 * X * (1 + np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3)))
EXACT = 0.5 * X * (1 + np.vectorize(erf)(X / np.sqrt(2)))
SIZES = dict(
    vocab_size=12,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    max_position=9,
)


def evaluate(x):
    return keras.ops.convert_to_numpy(x) if hasattr(keras, "ops") else K.eval(x)


# The formulas are those of ACT2FN in transformers/activations.py.
@pytest.mark.parametrize(
    "name, expected",
    [
        ("gelu_new", TANH_FORM),
        ("gelu_fast", TANH_FORM),
        ("gelu_pytorch_tanh", TANH_FORM),
        ("gelu_python_tanh", TANH_FORM),
        ("gelu_accurate", TANH_FORM),
        ("gelu_python", EXACT),
        ("gelu_10", np.clip(EXACT, -10, 10)),
        ("quick_gelu", X / (1 + np.exp(-1.702 * X))),
        ("silu", X / (1 + np.exp(-X))),
        ("relu2", np.maximum(X, 0) ** 2),
        ("relu6", np.clip(X, 0, 6)),
    ],
)
def test_a_name_of_hugging_face_gives_its_function(name, expected):
    outputs = evaluate(backend.get_activation(name)(ops.convert_to_tensor(X)))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("version, same", [("erf", False), ("tanh", True)])
def test_set_gelu_leaves_gelu_new_alone(version, same):
    try:
        backend.set_gelu(version)
        assert backend.get_activation("gelu_new") is backend.gelu_tanh
        assert (backend.get_activation("gelu") is backend.gelu_tanh) == same
    finally:
        backend.set_gelu("erf")


@pytest.mark.parametrize(
    "make",
    [
        lambda name: layers.FeedForward(16, activation=name).activation[0],
        lambda name: layers.FeedForward(16, activation=["linear", name]).activation[1],
        lambda name: layers.GatedAttentionUnit(16, 4, activation=name).activation,
        lambda name: layers.ScaleOffset(hidden_activation=name).hidden_activation,
    ],
)
def test_a_layer_takes_a_name_of_hugging_face(make):
    assert make("gelu_new") is backend.gelu_tanh


@pytest.mark.parametrize("hidden_act", ["gelu_typo", ["gelu", "gelu_typo"]])
def test_an_unknown_hidden_act_is_told_with_the_known_ones(hidden_act):
    with pytest.raises(ValueError, match="hidden_act.*'gelu_typo'.*gelu_new.*tanh"):
        build_transformer_model(hidden_act=hidden_act, **SIZES)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(with_pool="typo"), "Pooler-Dense.*'typo'"),
        (dict(with_mlm="typo"), "MLM-Activation.*'typo'"),
        (dict(layer_norm_cond_hidden_act="typo"), "layer_norm_cond_hidden_act.*'typo'"),
    ],
)
def test_another_unknown_activation_names_where_it_stands(arguments, words):
    with pytest.raises(ValueError, match=words):
        build_transformer_model(hidden_act="gelu", **dict(SIZES, **arguments))
