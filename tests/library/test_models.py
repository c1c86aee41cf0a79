"""build_transformer_model, and weights from checkpoints into models and back."""

import json
import logging

import numpy as np
import pytest

from bert4keras3.backend import get_values, keras
from bert4keras3.checkpoints import CheckpointError, VariableNotFoundError, open_checkpoint, save_checkpoint
from bert4keras3.layers import Dense, MultiHeadAttention
from bert4keras3.models import BERT, MODELS, build_transformer_model
from bert4keras3.weights import expand_braces, expand_table
from parity.models.cases import CASES
from parity.models.releases import BY_NAME, RELEASES
from parity.store import CHECKPOINTS, GOLDENS, read_json, release_paths

pytestmark = pytest.mark.usefixtures("fresh_session")
RELEASE = CHECKPOINTS / "google_bert"
CONFIG, CHECKPOINT = str(RELEASE / "bert_config.json"), str(RELEASE / "bert_model.ckpt")
IDS = np.array([[5, 6, 7, 0]], dtype="int32")


def build(**arguments):
    return build_transformer_model(CONFIG, return_keras_model=False, **arguments)


def weights_of(transformer):
    return {
        weight.name: value
        for weight, value in zip(transformer.model.weights, transformer.model.get_weights())
    }


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ("a", ["a"]),
        ("a/{b,c}", ["a/b", "a/c"]),
        ("{a,b}/{c,d}", ["a/c", "a/d", "b/c", "b/d"]),
        ("x/{s/{q,k},o}/{w,b}", ["x/s/q/w", "x/s/q/b", "x/s/k/w", "x/s/k/b", "x/o/w", "x/o/b"]),
    ],
)
def test_braces_expand_as_in_a_shell(pattern, expected):
    assert expand_braces(pattern) == expected


def test_table_repeats_rows_for_every_block():
    table = {"Norm": "n/{beta,gamma}", "Block-%d": "l%d/kernel"}
    assert expand_table(table, 2) == {
        "Norm": ["n/beta", "n/gamma"],
        "Block-0": ["l0/kernel"],
        "Block-1": ["l1/kernel"],
    }


@pytest.mark.parametrize(
    "arguments, outputs",
    [
        (dict(), 1),
        (dict(with_pool=True), 1),
        (dict(with_nsp=True), 1),
        (dict(with_mlm=True), 1),
        (dict(with_nsp=True, with_mlm=True), 2),
    ],
)
def test_outputs_are_one_tensor_or_a_list(arguments, outputs):
    result = build(**arguments).model.predict_on_batch([IDS, IDS * 0])
    assert (len(result) if isinstance(result, list) else 1) == outputs


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.oracle == "reference" and case.build == "plain" and not case.slow],
    ids=lambda case: case.name,
)
def test_layers_stand_in_the_order_of_the_reference(case):
    """Inputs aside: Keras 3 has them in the order of `model.inputs`."""
    if case.release == "minilm":
        pytest.skip("its checkpoint is made by the parity session")
    config, _ = release_paths(case.checkpoint)
    model = build_transformer_model(str(config), **case.arguments)
    expected = read_json(GOLDENS / (case.name + ".json"))["model_layers"]
    names = [layer.name for layer in model.layers]
    assert without_inputs(names) == without_inputs(expected)
    assert set(names) == set(expected)


def without_inputs(names):
    return [name for name in names if "Input-" not in name]


def test_keyword_arguments_win_over_the_configuration():
    assert build(num_hidden_layers=1, hidden_dropout_prob=0.0).num_hidden_layers == 1


@pytest.mark.parametrize("key", ["vocab_size", "hidden_size", "hidden_act"])
def test_a_missing_key_is_named(tmp_path, key):
    config = read_json(RELEASE / "bert_config.json")
    del config[key]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"config.json.*lacks {key}"):
        build_transformer_model(str(path))


def test_a_configuration_that_is_no_json_is_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("vocab_size: 3")
    with pytest.raises(ValueError, match="config.json"):
        build_transformer_model(str(path))


@pytest.mark.parametrize("arguments", [dict(model="bart"), dict(application="seq2seq")])
def test_an_unknown_name_is_told_with_the_known_ones(arguments):
    with pytest.raises(ValueError, match="bert|unilm"):
        build(**arguments)


@pytest.mark.parametrize("model", ["electra", "t5", "t5.1.1"])
def test_a_model_that_is_no_language_model_says_so(model):
    with pytest.raises(ValueError, match="encoder only"):
        build(model=model, application="unilm")


def test_an_albert_of_several_groups_is_refused():
    with pytest.raises(ValueError, match="num_hidden_groups: expected 1, got 12"):
        build(model="albert", num_hidden_groups=12)


@pytest.mark.parametrize("argument", ["with_pool", "with_mlm"])
def test_electra_refuses_heads_that_it_lacks(argument):
    with pytest.raises(TypeError, match=argument):
        build(model="electra", **{argument: True})


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_every_release_survives_saving_and_loading(tmp_path, release):
    case = next(case for case in CASES if case.release == release.name and not case.random_fill)
    config, checkpoint = release_paths(release)
    transformer = build_transformer_model(str(config), return_keras_model=False, **case.arguments)
    transformer.load_weights_from_checkpoint(str(checkpoint))
    transformer.save_weights_as_checkpoint(str(tmp_path / "saved.ckpt"))
    original, saved = open_checkpoint(str(checkpoint)), open_checkpoint(str(tmp_path / "saved.ckpt"))
    assert len(saved) > 3
    if "keep_tokens" not in case.arguments:
        for name in saved:
            np.testing.assert_array_equal(saved[name], original[name])


def test_model_names_ignore_case():
    assert type(build(model="RoBERTa")) is MODELS["roberta"]


def test_report_names_what_was_used_and_what_was_not():
    report = build().load_weights_from_checkpoint(CHECKPOINT)
    assert "bert/embeddings/word_embeddings" in report.used
    assert "cls/predictions/output_bias" in report.unused
    assert report.missing == report.resized == []
    assert str(report) == "37 used, 9 unused, 0 missing, 0 resized"


def test_checkpoint_may_be_a_dict():
    transformer = build(with_mlm=True, with_nsp=True)
    transformer.load_weights_from_checkpoint(dict(open_checkpoint(CHECKPOINT)))
    other = build(with_mlm=True, with_nsp=True)
    other.load_weights_from_checkpoint(CHECKPOINT)
    for mine, theirs in zip(transformer.model.get_weights(), other.model.get_weights()):
        np.testing.assert_array_equal(mine, theirs)


def test_saving_and_loading_is_bit_equal(tmp_path):
    transformer = build(with_mlm=True, with_nsp=True)
    transformer.load_weights_from_checkpoint(CHECKPOINT)
    transformer.save_weights_as_checkpoint(str(tmp_path / "saved.ckpt"))
    original, saved = open_checkpoint(CHECKPOINT), open_checkpoint(str(tmp_path / "saved.ckpt"))
    assert set(saved) == set(original)
    for name in original:
        np.testing.assert_array_equal(saved[name], original[name])


def test_saving_in_float16_rounds_every_variable(tmp_path):
    transformer = build()
    transformer.load_weights_from_checkpoint(CHECKPOINT)
    transformer.save_weights_as_checkpoint(str(tmp_path / "saved.ckpt"), dtype="float16")
    original, saved = open_checkpoint(CHECKPOINT), open_checkpoint(str(tmp_path / "saved.ckpt"))
    for name in saved:
        np.testing.assert_array_equal(saved[name], original[name].astype("float16"))


@pytest.fixture
def unshared_albert():
    config, checkpoint = release_paths(BY_NAME["google_albert"])
    transformer = build_transformer_model(str(config), model="albert_unshared", return_keras_model=False)
    transformer.load_weights_from_checkpoint(str(checkpoint))
    return transformer


def test_an_unshared_albert_is_saved_while_its_layers_are_equal(tmp_path, unshared_albert):
    unshared_albert.save_weights_as_checkpoint(str(tmp_path / "saved.ckpt"))
    unshared_albert.load_weights_from_checkpoint(str(tmp_path / "saved.ckpt"))


def test_an_unshared_albert_whose_layers_differ_is_not_saved_as_a_shared_one(tmp_path, unshared_albert):
    layer = unshared_albert.layers["Transformer-1-FeedForward"]
    layer.set_weights([weight + 1 for weight in layer.get_weights()])
    with pytest.raises(CheckpointError, match="Transformer-0-FeedForward.*Transformer-1-FeedForward"):
        unshared_albert.save_weights_as_checkpoint(str(tmp_path / "saved.ckpt"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_other_formats_load_the_same(tmp_path, suffix):
    path = tmp_path / ("weights" + suffix)
    variables = dict(open_checkpoint(CHECKPOINT))
    if suffix == ".npz":
        np.savez(str(path), **variables)
    else:
        write_safetensors(path, variables)
    transformer = build()
    transformer.load_weights_from_checkpoint(str(path))
    embedding = get_values(transformer.layers["Embedding-Token"].weights)[0]
    np.testing.assert_array_equal(embedding, variables["bert/embeddings/word_embeddings"])


def write_safetensors(path, variables):
    header, data = {}, b""
    for name, value in variables.items():
        begin, data = len(data), data + np.ascontiguousarray(value).tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def broken_checkpoint(tmp_path, change):
    variables = dict(open_checkpoint(CHECKPOINT))
    change(variables)
    save_checkpoint(str(tmp_path / "broken.ckpt"), variables.items())
    return str(tmp_path / "broken.ckpt")


LAST = "bert/encoder/layer_1/output/LayerNorm/gamma"


def rename_last(variables):
    variables[LAST.replace("gamma", "gama")] = variables.pop(LAST)


def cut_last(variables):
    variables[LAST] = variables[LAST][:-1]


@pytest.mark.parametrize(
    "change, error, words",
    [
        (rename_last, VariableNotFoundError, ["broken.ckpt", LAST, "gama"]),
        (
            cut_last,
            CheckpointError,
            ["broken.ckpt", LAST, "(31,)", "(32,)", "Transformer-1-FeedForward-Norm"],
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_changes_no_weight(tmp_path, change, error, words):
    transformer = build()
    before = transformer.model.get_weights()
    with pytest.raises(error) as caught:
        transformer.load_weights_from_checkpoint(broken_checkpoint(tmp_path, change))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    for old, new in zip(before, transformer.model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_ignored_weights_are_reported_and_logged(tmp_path, caplog):
    transformer = build(ignore_invalid_weights=True)
    with caplog.at_level(logging.WARNING, logger="bert4keras3"):
        report = transformer.load_weights_from_checkpoint(broken_checkpoint(tmp_path, rename_last))
    assert report.missing == [LAST]
    assert LAST in caplog.text


def test_ignored_weights_of_a_dict_are_reported():
    variables = dict(open_checkpoint(CHECKPOINT))
    rename_last(variables)
    assert build(ignore_invalid_weights=True).load_weights_from_checkpoint(variables).missing == [LAST]


@pytest.mark.parametrize(
    "release, arguments, advice",
    [
        ("nezha", dict(), "model='nezha'"),
        ("zhuiyi_roformer", dict(), "'roformer'"),
        ("google_albert", dict(), "model='albert'"),
        ("google_bert", dict(model="albert"), "model='bert'"),
        ("google_electra", dict(model="bert"), "model='electra'"),
        ("labse", dict(with_mlm=True), "leave with_mlm"),
        ("zhuiyi_wobert", dict(with_pool=True), "leave with_pool"),
        ("nezha_gen", dict(), "segment_vocab_size=0"),
        ("cdial_gpt", dict(model="gpt", shared_segment_embeddings=False), "shared_segment_embeddings=True"),
        ("zhuiyi_t5_pegasus", dict(model="t5.1.1"), "model='mt5.1.1'"),
        ("t5", dict(model="t5.1.1", hidden_act=["gelu", "linear"]), "model='t5.1.0'"),
        ("t5_1_1", dict(model="t5.1.0", hidden_act="relu"), "'t5.1.1'"),
        ("gau_alpha", dict(), "model='gau_alpha'"),
    ],
)
def test_a_checkpoint_of_another_model_says_what_to_try(release, arguments, advice):
    config, checkpoint = release_paths(BY_NAME[release])
    transformer = build_transformer_model(str(config), return_keras_model=False, **arguments)
    before = transformer.model.get_weights()
    with pytest.raises(VariableNotFoundError, match=advice):
        transformer.load_weights_from_checkpoint(str(checkpoint))
    for old, new in zip(before, transformer.model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_an_albert_of_brightmart_in_its_own_format_says_so(tmp_path):
    config, checkpoint = release_paths(BY_NAME["brightmart_albert"])
    shared = {
        name.replace("transformer/group_0/inner_group_0", "layer_shared"): value
        for name, value in open_checkpoint(str(checkpoint)).items()
        if "mapping_in" not in name
    }
    shared["bert/embeddings/word_embeddings_2"] = np.zeros((16, 32), "float32")
    save_checkpoint(str(tmp_path / "albert_model.ckpt"), shared)
    with pytest.raises(VariableNotFoundError, match="google versions"):
        build_transformer_model(str(config), str(tmp_path / "albert_model.ckpt"), model="albert")


def test_keep_tokens_beyond_the_rows_of_the_checkpoint_are_named():
    transformer = build(keep_tokens=[1, 2, 120], vocab_size=200)
    with pytest.raises(ValueError, match="keep_tokens.*119.*checkpoint.*120"):
        transformer.load_weights_from_checkpoint(CHECKPOINT)


def test_autoresize_reports_what_it_resized():
    transformer = build(hidden_size=64, autoresize_weights=True)
    report = transformer.load_weights_from_checkpoint(CHECKPOINT)
    assert "bert/embeddings/word_embeddings" in report.resized
    assert "bert/encoder/layer_0/intermediate/dense/bias" not in report.resized


def test_frozen_layers_are_loaded_too():
    transformer = build()
    transformer.layers["Embedding-Token"].trainable = False
    assert "bert/embeddings/word_embeddings" in transformer.load_weights_from_checkpoint(CHECKPOINT).used


def test_dropout_is_active_in_training_only():
    layer = MultiHeadAttention(2, 4, attention_dropout=0.5)
    inputs = [keras.layers.Input(shape=(None, 8)) for _ in range(3)]
    model = keras.models.Model(inputs, layer(inputs))
    values = [np.random.RandomState(0).normal(size=(2, 5, 8)).astype("float32")] * 3
    np.testing.assert_array_equal(model.predict_on_batch(values), model.predict_on_batch(values))
    assert layer.dropout.rate == 0.5


class TwoHeads(BERT):
    """A user's model, as published code writes it: its own block, heads and names."""

    def apply_main_layers(self, inputs, index):
        x = super().apply_main_layers(inputs, index)
        return self.apply(
            inputs=x,
            layer=Dense,
            units=self.hidden_size,
            kernel_initializer=self.initializer,
            name=f"Adapter-{index}",
        )

    def variable_mapping(self):
        mapping = super().variable_mapping()
        mapping.update({"Adapter-0": ["bert/pooler/dense/kernel", "bert/pooler/dense/bias"]})
        return mapping


def test_a_users_class_extends_layers_and_mapping():
    transformer = build(model=TwoHeads)
    report = transformer.load_weights_from_checkpoint(CHECKPOINT)
    assert "bert/pooler/dense/kernel" in report.used
    assert transformer.model.predict_on_batch([IDS, IDS * 0]).shape == (1, 4, 32)


def test_two_models_share_layers_but_not_inputs():
    first = build()
    second = build(layers=first.layers)
    assert first.model.inputs[0] is not second.model.inputs[0]
    assert first.layers["Embedding-Token"] is second.layers["Embedding-Token"]
    assert len(second.model.weights) == len(first.model.weights)


def test_model_learns_with_padding_in_the_batch():
    model = build(with_pool=True).model
    labels = keras.layers.Dense(2, activation="softmax")(model.output)
    classifier = keras.models.Model(model.inputs, labels)
    classifier.compile(loss="sparse_categorical_crossentropy", optimizer=keras.optimizers.Adam(1e-3))
    tokens = np.random.RandomState(0).randint(1, 120, size=(16, 8))
    tokens[::2, 5:] = 0
    y = tokens[:, 1] % 2
    losses = [classifier.train_on_batch([tokens, tokens * 0], y) for _ in range(30)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] / 2
