"""bert4keras3 1.6.6 of PyPI, in an environment that holds it in place of this checkout.

It reads checkpoints with TensorFlow, which its environment lacks. So it gets the variables as a dict.
"""

from importlib.metadata import version
from types import SimpleNamespace

import numpy as np

from bench.implementations import Unsupported
from bench.implementations.bert4keras_models import Bert4kerasModels
from bench.scenarios import PREDICT
from bert4keras3.backend import keras
from bert4keras3.models import build_transformer_model
from parity.adapter import evaluate, layer_nodes

if version("bert4keras3") != "1.6.6":
    raise ImportError("expected bert4keras3 1.6.6, got " + version("bert4keras3"))


class AbandonedPort(Bert4kerasModels):
    FORMAT, CHECKPOINT = "npz", "variables.npz"
    library = SimpleNamespace(keras=keras, build_transformer_model=build_transformer_model)

    def convert(self, scenario, folder):
        if not scenario.release.config or scenario.release.folder:
            raise Unsupported("it reads checkpoints with TensorFlow, which its environment lacks")
        np.savez(str(folder / self.CHECKPOINT), **scenario.weights)

    def load(self, scenario, folder):
        model = scenario.arguments.get("model", "bert")
        try:
            with np.load(str(folder / self.CHECKPOINT)) as file:
                super().load(scenario, folder, {name: file[name] for name in file.files})
        except KeyError as name:
            raise Unsupported(f"it has no {model}") if name.args == (model,) else name

    def layers(self, inputs):
        """Its layers have the names of bert4keras, but for those of masks."""
        nodes = [one for one in layer_nodes(self.library, self.model) if not one[0].endswith("-Mask")]
        probe = keras.models.Model(self.model.inputs, [tensor for _, tensor in nodes])
        values = evaluate(self.library, probe, self.feed(PREDICT, inputs))
        return {name: value for (name, _), value in zip(nodes, values)}

    def generate(self):
        """Its cache model generates the zeros behind the prompt; it takes the segments of the whole sequence."""
        scenario = self.scenario
        prompt, new = scenario.length, scenario.new_tokens
        is_t5 = scenario.arguments.get("model") == "t5.1.0"
        lengths = [prompt, new + 1] if is_t5 else [prompt + new] * len(scenario.inputs)
        cached = self.transformer.build_cache_model(lengths, end_token=-1, index_bias=int(is_t5))

        def run(feed):
            tokens, *segments = feed if isinstance(feed, list) else [feed]
            room = [(0, 0), (0, new)]
            if is_t5:
                inputs = [tokens, np.zeros((len(tokens), new + 1), tokens.dtype)]
            else:
                inputs = [np.pad(tokens, room)] + [np.pad(one, room, constant_values=1) for one in segments]
            ids = cached.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
            return [np.asarray(ids)[:, -new:].astype("int32")]

        return run
