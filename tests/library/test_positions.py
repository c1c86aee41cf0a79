"""A text longer than the position table is an error that names `max_position`."""

import numpy as np
import pytest

from bert4keras3.backend import framework, keras
from bert4keras3.layers import Input, PositionEmbedding
from bert4keras3.models import build_transformer_model

pytestmark = pytest.mark.usefixtures("fresh_session")
SIZES = dict(
    vocab_size=12,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    hidden_act="gelu",
)
# On OpenVINO no length is known before the model runs.
checks_lengths = pytest.mark.skipif(framework == "openvino", reason="OpenVINO cannot check a length")


def ids(length):
    return [np.ones((2, length), "float32"), np.zeros((2, length), "float32")]


@checks_lengths
@pytest.mark.parametrize(
    "arguments, longest",
    [(dict(max_position=9), 9), (dict(max_position=3, hierarchical_position=True), 9)],
    ids=["plain", "hierarchical"],
)
@pytest.mark.parametrize("method", ["predict", "predict_on_batch"])
def test_a_text_that_is_too_long_is_told_with_max_position(method, arguments, longest):
    model = build_transformer_model(**dict(SIZES, **arguments))
    assert model.predict_on_batch(ids(longest)).shape == (2, longest, 8)
    assert model.predict_on_batch(ids(longest - 1)).shape == (2, longest - 1, 8)
    words = f"(?s)Embedding-Position.*at most 9 tokens.*max_position is {arguments['max_position']}"
    with pytest.raises(Exception, match=words) as caught:
        getattr(model, method)(ids(longest + 4))
    assert str(longest + 4) in str(caught.value)


@pytest.mark.parametrize(
    "arguments", [dict(max_position=9), dict(max_position=3, hierarchical_position=True)]
)
def test_a_sequence_length_that_is_too_long_is_told_when_the_model_is_built(arguments):
    with pytest.raises(ValueError, match="at most 9 tokens, got 13.*max_position is"):
        build_transformer_model(sequence_length=13, **dict(SIZES, **arguments))


@pytest.mark.parametrize("model", ["gpt", "gpt2", "gpt2_ml"])
def test_a_decoder_tells_it_too(model):
    with pytest.raises(
        ValueError, match="at most 9 tokens, got 10.*hierarchical_position=True for 81 positions"
    ):
        build_transformer_model(model=model, max_position=9, sequence_length=10, **SIZES)


def test_positions_of_the_users_own_may_be_any():
    model = build_transformer_model(max_position=9, custom_position_ids=True, **SIZES)
    assert model.predict_on_batch(ids(12) + [np.tile(np.arange(12.0) % 9, (2, 1))]).shape == (2, 12, 8)


def test_a_fixed_length_that_fits_is_built():
    x = Input(shape=(9, 8))
    assert keras.models.Model(x, PositionEmbedding(9, 8)(x)).output_shape == (None, 9, 8)
