"""Whole models and their weights to files and back."""

import numpy as np
import pytest

from bert4keras3.backend import get_values, keras, ops
from bert4keras3.backend.flavour import installed_version
from bert4keras3.layers import Dense, GlobalPointer, Input
from bert4keras3.models import build_transformer_model

pytestmark = pytest.mark.usefixtures("fresh_session")
IS_KERAS_3 = hasattr(keras, "ops")
TOKENS = np.array([[5, 6, 7, 0, 8, 0], [9, 3, 0, 0, 0, 0]], dtype="float32")
SEGMENTS = np.array([[0, 0, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0]], dtype="float32")
SIZES = dict(
    vocab_size=12,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    hidden_act="gelu",
    max_position_embeddings=9,
)
MODELS = {
    "bert": dict(with_nsp=True, with_mlm=True, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1),
    "bert-pool": dict(with_pool="linear", hierarchical_position=True),
    "bert-activations": dict(hidden_act="gelu_new", with_pool="gelu_fast", with_mlm="quick_gelu"),
    "bert-lm": dict(application="lm"),
    "bert-unilm": dict(application="unilm"),
    "bert-scores": dict(residual_attention_scores=True, num_hidden_layers=2),
    "bert-condition": dict(),
    "albert": dict(model="albert", embedding_size=4, with_mlm=True),
    "nezha": dict(model="nezha"),
    "roformer": dict(model="roformer", with_mlm="linear"),
    "roformer_v2": dict(model="roformer_v2", with_mlm=True),
    "electra": dict(model="electra"),
    "gpt": dict(model="gpt"),
    "gpt2": dict(model="gpt2"),
    "gpt2_ml": dict(model="gpt2_ml"),
    "t5": dict(model="t5.1.1", hidden_act=["gelu", "linear"]),
    "t5-tied": dict(model="t5"),
    "gau_alpha": dict(model="gau_alpha", hidden_act="swish", attention_key_size=4),
}
# tf.keras 2.13 to 2.15 cannot read from HDF5 what its own Dense writes of an activation that is not its own
ENDINGS = (
    [".h5", ".keras"] if IS_KERAS_3 else [".keras"] if installed_version("keras") >= (2, 13) else [".h5"]
)
FILES = [(name, ending) for ending in ENDINGS for name in sorted(MODELS)]
if IS_KERAS_3:
    FILES.append(("bert", ".model"))


def build(name):
    arguments = dict(SIZES, **MODELS[name])
    if name == "bert-condition":
        condition = Input(shape=(3,), name="Input-Condition")
        arguments.update(
            layer_norm_cond=condition,
            layer_norm_cond_hidden_size=4,
            layer_norm_cond_hidden_act="gelu_pytorch_tanh",
            additional_input_layers=condition,
        )
    return build_transformer_model(**arguments)


def inputs_of(model):
    values = [TOKENS, SEGMENTS, np.ones((2, 3), "float32")]
    if len(model.inputs) == 2 and "Decoder-Input-Token" in [layer.name for layer in model.layers]:
        values = [TOKENS, TOKENS[:, :4]]
    return values[: len(model.inputs)]


def outputs_of(model):
    inputs = inputs_of(model)
    if IS_KERAS_3:  # without compiling, which would take most of the time here
        outputs = model([ops.convert_to_tensor(one) for one in inputs] if len(inputs) > 1 else inputs[0])
        outputs = [ops.convert_to_numpy(one) for one in as_list(outputs)]
    else:
        outputs = as_list(model.predict_on_batch(inputs))
    return outputs


def as_list(items):
    return list(items) if isinstance(items, (list, tuple)) else [items]


def assert_equal_outputs(model, other):
    for one, two in zip(outputs_of(model), outputs_of(other)):
        assert np.isfinite(one).all() and one.std() > 0
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name, ending", FILES)
def test_a_saved_model_loads_and_computes_the_same(tmp_path, name, ending):
    model = build(name)
    path = str(tmp_path / ("saved" + ending))
    model.save(path)
    assert_equal_outputs(model, keras.models.load_model(path))


@pytest.mark.parametrize("file", ["best_model.weights", "best.h5", "best_model.weights.h5", "noending"])
def test_weights_go_to_a_file_of_any_name(tmp_path, file):
    if keras.__name__ != "keras" and not file.endswith(".h5"):
        pytest.skip("tf.keras has a format of its own under this name")
    model, other = build("bert"), build("bert")
    model.save_weights(str(tmp_path / file))
    assert (tmp_path / file).is_file()
    other.load_weights(str(tmp_path / file))
    assert_equal_outputs(model, other)


def test_a_model_of_the_users_own_saves_under_any_name(tmp_path):
    bert = build("bert-pool")
    head = Dense(3, activation="softmax")
    model = keras.models.Model(bert.inputs, head(bert.output))
    model.save_weights(str(tmp_path / "best_model.weights"))
    expected = get_values(head.weights)
    head.set_weights([value + 1 for value in expected])
    model.load_weights(str(tmp_path / "best_model.weights"))
    np.testing.assert_array_equal(get_values(head.weights)[0], expected[0])


def test_a_model_with_a_head_of_ours_loads(tmp_path):
    bert = build("roformer_v2")
    model = keras.models.Model(
        bert.inputs, GlobalPointer(2, 4, tril_mask=False, RoPE=True)(bert.layers[-1].output)
    )
    path = str(tmp_path / ("saved" + ENDINGS[-1]))
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(outputs_of(model)[0], outputs_of(loaded)[0])
