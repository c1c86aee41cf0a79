"""bert4keras3, in every pairing."""

from types import SimpleNamespace

from bench.subjects import bert4keras_models, keras_models
from bert4keras3.backend import keras
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import AutoRegressiveDecoder

FORMAT, CHECK = bert4keras_models.FORMAT, "predict"
LIBRARY = SimpleNamespace(
    keras=keras, build_transformer_model=build_transformer_model, AutoRegressiveDecoder=AutoRegressiveDecoder
)
convert, arrays = bert4keras_models.convert, keras_models.arrays


def load(scenario, folder):
    return bert4keras_models.load(LIBRARY, scenario, folder)


def function(model, scenario, mode):
    return bert4keras_models.function(LIBRARY, model, scenario, mode)


def feed(model, mode, inputs):
    return keras_models.feed(keras, mode, inputs)
