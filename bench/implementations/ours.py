"""bert4keras3, in every pairing."""

from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np

from bench.implementations import keras_models
from bench.implementations.bert4keras_models import Bert4kerasModels
from bert4keras3.backend import keras
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import AutoRegressiveDecoder


class Ours(Bert4kerasModels):
    library = SimpleNamespace(
        keras=keras,
        build_transformer_model=build_transformer_model,
        AutoRegressiveDecoder=AutoRegressiveDecoder,
    )

    def load(self, scenario, folder):
        super().load(scenario, folder)
        self.model.compile_calls = self.hidden.compile_calls = True  # the fastest call that a user can have

    def generate(self):
        """With cached keys and values, if this bert4keras3 and its Keras have them."""
        has_cache = hasattr(keras, "ops") and keras_models.framework(keras) not in keras_models.INFER_ONLY
        if not (has_cache and find_spec("bert4keras3.generation")):
            return super().generate()
        from bert4keras3.generation import Generator

        generator = Generator(self.transformer)

        def run(feed):
            prompts = feed[0] if isinstance(feed, list) else feed
            return [np.array(generator.generate(prompts, max_tokens=self.scenario.new_tokens))]

        return run
