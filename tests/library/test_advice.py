"""A checkpoint that does not fit a model says which model it is of, or which argument to change."""

import logging

import numpy as np
import pytest

from bert4keras3.advice import advise, advise_shape
from bert4keras3.backend import FLAVOUR
from bert4keras3.checkpoints import CheckpointError, open_checkpoint
from bert4keras3.models import MODELS, build_transformer_model
from parity.models.releases import BY_NAME
from parity.store import release_paths

CONFIG, CHECKPOINT = map(str, release_paths(BY_NAME["google_bert"]))
# release: the models that it is of, of which the advice names the first
FILES = {
    "google_bert": ["bert", "roberta"],
    "google_bert_with_optimizer": ["bert", "roberta"],
    "labse": ["bert", "roberta"],
    "nezha_gen": ["bert", "roberta"],
    "google_albert": ["albert", "albert_unshared"],
    "nezha": ["nezha", "roformer"],
    "zhuiyi_roformer": ["nezha", "roformer"],
    "zhuiyi_roformer_v2": ["roformer_v2"],
    "google_electra": ["electra"],
    "hit_electra": ["electra"],
    "cdial_gpt": ["gpt"],
    "cpm_lm": ["gpt2"],
    "gpt2_ml": ["gpt2_ml"],
    "gau_alpha": ["gau_alpha"],
    "t5": ["t5.1.0", "t5.1.0_encoder", "t5.1.0_decoder", "t5", "t5_encoder", "t5_decoder"],
    "t5_1_1": ["t5.1.1", "t5.1.1_encoder", "t5.1.1_decoder"],
    "mt5": ["mt5.1.1", "mt5.1.1_encoder", "mt5.1.1_decoder"],
    "zhuiyi_t5_pegasus": ["mt5.1.1", "mt5.1.1_encoder", "mt5.1.1_decoder"],
}
BUILT = {}


def build(model, **arguments):
    return build_transformer_model(CONFIG, model=model, return_keras_model=False, **arguments)


def built_once(model):
    if model not in BUILT:
        BUILT[model] = build(model, num_hidden_layers=1)
    return BUILT[model]


def opening(model, checkpoint, caplog):
    """What the log or the error says if a model loads a checkpoint."""
    caplog.clear()
    try:
        built_once(model).load_weights_from_checkpoint(str(checkpoint))
        return caplog.text
    except CheckpointError as error:
        return str(error)


# The advice reads names alone, so that one Keras is enough.
@pytest.mark.skipif(FLAVOUR != "keras3", reason="the advice is the same on every Keras")
@pytest.mark.parametrize("release", sorted(FILES))
def test_a_checkpoint_opened_as_any_other_model_names_its_own(release, caplog):
    _, checkpoint = release_paths(BY_NAME[release])
    caplog.set_level(logging.WARNING, logger="bert4keras3")
    others = sorted(set(MODELS) - set(FILES[release]))
    if release == "t5_1_1":  # of one block, as here, umT5 has the same names
        others = [model for model in others if not model.startswith("umt5")]
    said = {model: opening(model, checkpoint, caplog) for model in others}
    assert not {model: text for model, text in said.items() if f"model={FILES[release][0]!r}" not in text}


@pytest.mark.usefixtures("fresh_session")
def test_a_checkpoint_of_the_right_model_gives_no_advice(caplog):
    with caplog.at_level(logging.WARNING, logger="bert4keras3"):
        build("bert").load_weights_from_checkpoint(CHECKPOINT)
    assert not [record for record in caplog.records if record.name == "bert4keras3"]


@pytest.mark.parametrize(
    "missing, advice",
    [
        ("bert/encoder/layer_2/output/dense/kernel", "num_hidden_layers=2"),
        ("bert/pooler/dense/kernel", "leave with_pool"),
        ("bert/encoder/embedding_hidden_mapping_in/kernel", "leave embedding_size out"),
    ],
)
def test_a_missing_variable_names_the_argument(missing, advice):
    names = [name for name in open_checkpoint(CHECKPOINT) if "pooler" not in name]
    assert advice in advise(missing, names, [*names, missing])


@pytest.mark.parametrize(
    "variable, found, expected, argument",
    [
        ("bert/embeddings/word_embeddings", (21128, 32), (120, 32), "vocab_size = 21128"),
        ("bert/embeddings/word_embeddings", (120, 64), (120, 32), "hidden_size = 64"),
        ("bert/embeddings/position_embeddings", (512, 32), (128, 32), "max_position = 512"),
        ("bert/embeddings/token_type_embeddings", (16, 32), (2, 32), "segment_vocab_size = 16"),
        ("bert/encoder/layer_0/intermediate/dense/kernel", (32, 64), (32, 48), "intermediate_size = 64"),
        ("bert/encoder/layer_0/attention/self/query/kernel", (32, 48), (32, 32), "attention_key_size = 48"),
    ],
)
def test_a_shape_that_does_not_fit_names_the_argument(variable, found, expected, argument):
    names = list(open_checkpoint(CHECKPOINT))
    assert argument in advise_shape(variable, found, expected, names, names)


@pytest.mark.usefixtures("fresh_session")
def test_a_factorized_albert_without_its_embedding_size_names_it():
    config, checkpoint = release_paths(BY_NAME["google_albert"])
    with pytest.raises(CheckpointError, match="embedding_size = 16"):
        build_transformer_model(str(config), str(checkpoint), model="albert", embedding_size=None)


@pytest.mark.usefixtures("fresh_session")
@pytest.mark.parametrize("hidden_act, words", [("gelu", "a list"), (["gelu", "linear"], None)])
def test_a_gated_feed_forward_layer_names_hidden_act(hidden_act, words):
    config, checkpoint = release_paths(BY_NAME["t5_1_1"])
    arguments = dict(model="t5.1.1", hidden_act=hidden_act, return_keras_model=False)
    transformer = build_transformer_model(str(config), **arguments)
    if words is None:
        assert not transformer.load_weights_from_checkpoint(str(checkpoint)).missing
    else:
        with pytest.raises(CheckpointError, match=words + ".*hidden_act"):
            transformer.load_weights_from_checkpoint(str(checkpoint))


NOTHING = {
    "another system": str(release_paths(BY_NAME["google_electra"])[1]),
    "no system": {"conv1/kernel": np.zeros((3, 3), "float32")},
    "empty": {},
}


@pytest.mark.usefixtures("fresh_session")
@pytest.mark.parametrize("checkpoint", sorted(NOTHING))
def test_a_checkpoint_of_which_nothing_fits_is_an_error(checkpoint):
    transformer = build("bert", ignore_invalid_weights=True)
    before = transformer.model.get_weights()
    advice = {"another system": "model='electra'"}.get(checkpoint, "Check the path and the model class")
    with pytest.raises(CheckpointError, match=f"none of the 37 variables of the model.*{advice}"):
        transformer.load_weights_from_checkpoint(NOTHING[checkpoint])
    for old, new in zip(before, transformer.model.get_weights()):
        np.testing.assert_array_equal(old, new)


@pytest.mark.usefixtures("fresh_session")
def test_a_checkpoint_of_which_little_fits_is_said_in_the_log(caplog):
    name = "bert/embeddings/word_embeddings"
    with caplog.at_level(logging.WARNING, logger="bert4keras3"):
        report = build("bert", ignore_invalid_weights=True).load_weights_from_checkpoint(
            {name: open_checkpoint(CHECKPOINT)[name]}
        )
    assert report.used == [name]
    assert "1 used, 0 unused, 36 missing, 0 resized. Most of the model is untrained" in caplog.text


@pytest.mark.usefixtures("fresh_session")
@pytest.mark.parametrize("method", ["load_weights_from_checkpoint", "save_weights_as_checkpoint"])
def test_a_mapping_without_a_layer_of_the_model_is_an_error(method, tmp_path):
    mapping = {"Embeding-Token": ["bert/embeddings/word_embeddings"]}
    path = CHECKPOINT if method.startswith("load") else str(tmp_path / "saved.ckpt")
    with pytest.raises(CheckpointError, match="mapping.*'Embedding-Token'.*got 'Embeding-Token'"):
        getattr(build("bert"), method)(path, mapping)


@pytest.mark.usefixtures("fresh_session")
def test_an_empty_mapping_is_the_mapping_of_the_model():
    """As in bert4keras, where None and {} are the same."""
    assert len(build("bert").load_weights_from_checkpoint(CHECKPOINT, {}).used) == 37
