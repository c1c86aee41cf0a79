"""bert4keras 0.11.5, the reference, on TensorFlow 1.15 and 2.2."""

from types import SimpleNamespace

from bert4keras.backend import keras
from bert4keras.models import build_transformer_model
from bert4keras.snippets import AutoRegressiveDecoder

from bench.implementations.bert4keras_models import Bert4kerasModels
from parity.models.reference_models import REFERENCE_MODELS


def build(*arguments, model="bert", **options):
    """As bert4keras builds it; models that it has no name for are classes of `parity.models.reference_models`."""
    return build_transformer_model(*arguments, model=REFERENCE_MODELS.get(model, model), **options)


class Reference(Bert4kerasModels):
    library = SimpleNamespace(
        keras=keras, build_transformer_model=build, AutoRegressiveDecoder=AutoRegressiveDecoder
    )
