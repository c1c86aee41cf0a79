"""Random initial values that a checkpoint overwrites are not drawn; those that stay are."""

import numpy as np
import pytest
from small_models import SIZES

from bert4keras3.backend import FLAVOUR, deferred_initialization, keras
from bert4keras3.models import build_transformer_model


def saved_weights(**arguments):
    """{variable: value} of a small BERT."""
    transformer = build_transformer_model(return_keras_model=False, **dict(SIZES, **arguments))
    variables = transformer.variable_mapping()
    return {
        name: value
        for layer, names in variables.items()
        if layer in transformer.layers
        for name, value in zip(names, transformer.layers[layer].get_weights())
    }


def test_a_weight_that_the_checkpoint_lacks_keeps_its_initial_value():
    weights = saved_weights()
    lacking = "bert/encoder/layer_0/intermediate/dense/kernel"
    del weights[lacking]
    model = build_transformer_model(checkpoint_path=weights, ignore_invalid_weights=True, **SIZES)
    kernel = model.get_layer("Transformer-0-FeedForward").get_weights()[0]
    assert 0.01 < kernel.std() < 0.03, f"expected a spread of 0.02, got {kernel.std():.3f}"


@pytest.mark.skipif(FLAVOUR != "keras3", reason="Keras 2 draws them when the session starts")
def test_no_value_is_drawn_that_the_checkpoint_overwrites(monkeypatch):
    weights, drawn = saved_weights(), []
    draw = keras.initializers.TruncatedNormal.__call__
    monkeypatch.setattr(
        keras.initializers.TruncatedNormal,
        "__call__",
        lambda self, shape, **options: drawn.append(shape) or draw(self, shape, **options),
    )
    build_transformer_model(checkpoint_path=weights, **SIZES)
    assert drawn == []


@pytest.mark.skipif(FLAVOUR != "keras3", reason="Keras 2 draws them when the session starts")
def test_weights_that_someone_set_stay():
    dense = keras.layers.Dense(4)
    with deferred_initialization():
        table = build_transformer_model(**SIZES).get_layer("Embedding-Token")
        table.set_weights([np.zeros((600, 8), "float32")])
        dense.build((None, 3))
    assert not table.get_weights()[0].any()
    assert np.isfinite(dense.get_weights()[0]).all()
