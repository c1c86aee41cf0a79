"""bert4keras3, in every pairing."""

from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np

from bench.implementations import bert4keras_models, keras_models
from bench.scenarios import GENERATE
from bert4keras3.backend import keras
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import AutoRegressiveDecoder

FORMAT, CHECK = bert4keras_models.FORMAT, "predict"
LIBRARY = SimpleNamespace(
    keras=keras, build_transformer_model=build_transformer_model, AutoRegressiveDecoder=AutoRegressiveDecoder
)
convert, load_model, call_function, feed, arrays = bert4keras_models.adapter(LIBRARY)


def load(scenario, folder):
    loaded = load_model(scenario, folder)
    loaded.model.compile_calls = loaded.hidden.compile_calls = True  # the fastest call that a user can have
    return loaded


def function(model, scenario, mode):
    has_cache = hasattr(keras, "ops") and keras_models.framework(keras) not in keras_models.INFER_ONLY
    if mode == GENERATE and has_cache and find_spec("bert4keras3.generation"):
        return generate(model, scenario)
    return call_function(model, scenario, mode)


def generate(model, scenario):
    """With cached keys and values."""
    from bert4keras3.generation import Generator

    generator = Generator(model.transformer)

    def run(feed):
        prompts = feed[0] if isinstance(feed, list) else feed
        return [np.array(generator.generate(prompts, max_tokens=scenario.new_tokens))]

    return run
