"""bert4keras3 1.6.6 of PyPI, in an environment that holds it in place of this checkout.

It reads checkpoints with TensorFlow, which its environment lacks. So it gets the variables as a dict.
"""

from importlib.metadata import version
from types import SimpleNamespace

import numpy as np

from bench.implementations import bert4keras_models
from bench.scenarios import GENERATE, PREDICT
from bench.weights import random_arrays
from bert4keras3.backend import keras
from bert4keras3.models import build_transformer_model

FORMAT, CHECK = "npz", PREDICT
LIBRARY = SimpleNamespace(keras=keras, build_transformer_model=build_transformer_model)
_, load_model, call_function, feed, arrays = bert4keras_models.adapter(LIBRARY)

if version("bert4keras3") != "1.6.6":
    raise ImportError("expected bert4keras3 1.6.6, got " + version("bert4keras3"))


def convert(scenario, folder):
    np.savez(str(folder / "variables.npz"), **dict(random_arrays(scenario.release)))


def load(scenario, folder):
    with np.load(str(folder / "variables.npz")) as file:
        return load_model(scenario, folder, {name: file[name] for name in file.files})


def function(model, scenario, mode):
    if mode == GENERATE:
        return generate(model, scenario)
    return call_function(model, scenario, mode)


def generate(model, scenario):
    """Its cache model generates the zeros behind the prompt; it takes the segments of the whole sequence."""
    prompt, new = scenario.length, scenario.new_tokens
    is_t5 = scenario.arguments.get("model") == "t5.1.0"
    lengths = [prompt, new + 1] if is_t5 else [prompt + new] * len(scenario.inputs)
    cached = model.transformer.build_cache_model(lengths, end_token=-1, index_bias=int(is_t5))

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
