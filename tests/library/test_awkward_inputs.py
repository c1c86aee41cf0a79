"""Every model on texts that are all padding, short, long, padded on the left or alone in their batch."""

from functools import lru_cache

import numpy as np
import pytest
import small_models

from bert4keras3.backend import K
from parity.adapter import known_shape

LENGTH = 6
TEXTS = {
    "full": [5, 6, 7, 8, 9, 599],
    "all padding": [0, 0, 0, 0, 0, 0],
    "left padding": [0, 0, 0, 7, 8, 9],
    "0 in the middle": [5, 0, 7, 0, 0, 9],
    "right padding": [5, 6, 7, 0, 0, 0],
}
BATCH = np.array(list(TEXTS.values()))
in_all_models = pytest.mark.parametrize("name", sorted(small_models.MODELS))


@lru_cache(maxsize=None)
def model_and_outputs(name):
    model = small_models.build(name)
    return model, small_models.outputs_of(model, BATCH)


@pytest.fixture(scope="module", autouse=True)
def models_are_kept_until_the_end():
    yield
    model_and_outputs.cache_clear()
    K.clear_session()


@in_all_models
def test_batch_and_length_are_free(name):
    model, outputs = model_and_outputs(name)
    for tensor, output in zip(model.outputs, outputs):
        free = 2 if output.shape[1] == LENGTH else 1
        assert known_shape(tensor) == (None,) * free + output.shape[free:]


@in_all_models
def test_padding_anywhere_stays_finite(name):
    for output in model_and_outputs(name)[1]:
        assert np.isfinite(output).all() and output.std() > 0


@in_all_models
@pytest.mark.parametrize("text", ["all padding", "left padding"])
def test_a_text_alone_gives_what_it_gives_in_a_batch(name, text):
    model, outputs = model_and_outputs(name)
    row = list(TEXTS).index(text)
    for output, alone in zip(outputs, small_models.outputs_of(model, BATCH[row : row + 1])):
        np.testing.assert_allclose(alone[0], output[row], rtol=1e-4, atol=1e-6)


@in_all_models
@pytest.mark.parametrize("length", [1, 24])
def test_the_shortest_and_the_longest_text_are_finite(name, length):
    tokens = np.tile(np.arange(3, 3 + length), (2, 1))
    tokens[1] = 0
    for output in small_models.outputs_of(model_and_outputs(name)[0], tokens):
        assert output.shape[: output.ndim - 1] == (2, length)[: output.ndim - 1]
        assert np.isfinite(output).all()
