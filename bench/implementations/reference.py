"""bert4keras 0.11.5, the reference, on TensorFlow 1.15 and 2.2."""

from types import SimpleNamespace

from bert4keras.backend import keras
from bert4keras.models import build_transformer_model
from bert4keras.snippets import AutoRegressiveDecoder

from bench.implementations.bert4keras_models import Bert4kerasModels
from parity.models.reference_models import REFERENCE_MODELS


def build(config_path, checkpoint_path=None, model="bert", **arguments):
    """Models that the reference lacks are classes on its API."""
    return build_transformer_model(
        config_path, checkpoint_path, REFERENCE_MODELS.get(model, model), **arguments
    )


class Reference(Bert4kerasModels):
    library = SimpleNamespace(
        keras=keras,
        build_transformer_model=build,
        AutoRegressiveDecoder=AutoRegressiveDecoder,
    )
