"""Keywords of `build_transformer_model`: a misspelt one is an error, an unknown one a line in the log."""

import json
import logging

import pytest

from bert4keras3.layers import Input
from bert4keras3.models import BERT, MODELS, T5_Decoder, build_transformer_model
from bert4keras3.snippets import insert_arguments
from parity.models.releases import RELEASES
from parity.store import release_paths

pytestmark = pytest.mark.usefixtures("fresh_session")
SIZES = dict(
    vocab_size=12,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    hidden_act="gelu",
    max_position=9,
)


def build(**arguments):
    return build_transformer_model(return_keras_model=False, **dict(SIZES, **arguments))


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.WARNING, logger="bert4keras3")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "bert4keras3"]


@pytest.mark.parametrize(
    "model, keyword, near",
    [
        ("bert", "models", "model"),
        ("bert", "with_mlms", "with_mlm"),
        ("bert", "with_lm", "with_mlm"),
        ("bert", "keep_token", "keep_tokens"),
        ("bert", "max_positions", "max_position"),
        ("bert", "sequence_len", "sequence_length"),
        ("bert", "checkpoint", "checkpoint_path"),
        ("bert", "layer_norm_conds", "layer_norm_cond"),
        ("bert", "vocab_sizes", "vocab_size"),
        ("t5.1.1", "cross_position_biases", "cross_position_bias"),
        ("gpt", "final_activations", "final_activation"),
        ("gpt", "temperatur", "temperature"),
    ],
)
def test_a_misspelt_keyword_is_an_error_with_the_near_name(model, keyword, near):
    with pytest.raises(ValueError, match=rf"takes no '{keyword}'. Is it '{near}'\?"):
        build(model=model, **{keyword: None})


def test_a_misspelt_size_is_named_before_it_is_missed():
    sizes = {name: value for name, value in SIZES.items() if name != "vocab_size"}
    with pytest.raises(ValueError, match="'vocab_sise'. Is it 'vocab_size'"):
        build_transformer_model(vocab_sise=12, **sizes)


@pytest.mark.parametrize(
    "model, keyword",
    [("bert", "learning_rate"), ("bert", "with_discriminator"), ("gpt2", "cross_position_bias")],
)
def test_a_keyword_that_no_name_is_near_is_logged(model, keyword, log):
    build(model=model, **{keyword: 1})
    assert log() == [
        f"build_transformer_model: {MODELS[model].__name__} takes no {keyword!r}, which is ignored."
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        dict(model="t5.1.1", hidden_act=["gelu", "linear"], with_lm="linear", cross_position_bias=False),
        dict(model="t5.1.0_decoder", with_lm=False),
        dict(model="electra", with_discriminator=True),
        dict(model="albert", num_hidden_groups=1),
        dict(model="gpt", final_activation="linear", temperature=0.5, penalty=1.2, penalty_window=4),
        dict(
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.1,
            type_vocab_size=2,
            initializer_range=0.02,
        ),
        dict(
            name="BERT",
            prefix="Teacher-",
            layers={},
            residual_attention_scores=True,
            custom_position_ids=True,
        ),
        dict(
            attention_caches={}, layer_norm_cond=None, additional_input_layers=None, autoresize_weights=True
        ),
    ],
)
def test_a_keyword_that_something_takes_is_not_named(arguments, log):
    build(**arguments)
    assert not log()


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_a_released_configuration_may_be_given_as_keywords(release, log):
    config, _ = release_paths(release)
    arguments = json.loads(config.read_text(encoding="utf-8"))
    arguments.setdefault("max_position_embeddings", 12)
    build_transformer_model(**dict(arguments, hidden_act="gelu"))
    assert not log()


def test_a_key_of_the_file_may_be_overridden(tmp_path, log):
    """A byte order mark at the head of the file is passed over."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(dict(SIZES, modeling="x", anything=1)), encoding="utf-8-sig")
    build_transformer_model(str(path), modeling="y", anything=2)
    assert not log()


class ReadsKeywords(BERT):
    """A user's class: arguments of __init__ and of build, and what both read from the others."""

    def __init__(self, models=1, **kwargs):
        self.read = [kwargs.pop("with_lm", None), [kwargs.get(name) for name in ("vocab_sizes",)]]
        super().__init__(**kwargs)
        self.models = models

    def build(self, layer_norm_conds=None, **kwargs):
        self.read.append(layer_norm_conds)
        super().build(**kwargs)


class InsertsArguments(BERT):
    @insert_arguments(with_lm=3)
    def __init__(self, **kwargs):
        super().__init__(**kwargs)


class Child(InsertsArguments):
    """Its keywords are those of its bases too."""


class HasAPart(BERT):
    def __init__(self, cross_position=True, **kwargs):
        super().__init__(**kwargs)
        self.part = T5_Decoder(**kwargs)


@pytest.mark.parametrize(
    "model, arguments",
    [
        (ReadsKeywords, dict(models=2, with_lm=3, vocab_sizes=4, layer_norm_conds=5)),
        (InsertsArguments, dict(with_lm=4)),
        (Child, dict(with_lm=4)),
        (HasAPart, dict(with_lm=4, cross_position=False, cross_position_bias=False)),
    ],
)
@pytest.mark.parametrize("application", ["encoder", "lm"])
def test_a_class_of_the_users_takes_its_own_keywords(model, arguments, application, log):
    build(model=model, application=application, **arguments)
    assert not log()


def test_a_condition_is_a_keyword(log):
    condition = Input(shape=(3,))
    build(
        layer_norm_cond=condition,
        layer_norm_cond_hidden_size=4,
        layer_norm_cond_hidden_act="swish",
        additional_input_layers=condition,
    )
    assert not log()
