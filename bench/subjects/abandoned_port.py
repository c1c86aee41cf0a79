"""bert4keras3 1.6.6 of PyPI, in an environment where it, and not this checkout, has that name.

It reads a checkpoint through TensorFlow alone, which is not there, so it is given the variables as a dict.
"""

from importlib.metadata import version
from types import SimpleNamespace

import numpy as np

from bench.scenarios import PREDICT
from bench.subjects import bert4keras_models, keras_models
from bench.weights import random_arrays
from bert4keras3.backend import keras
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import AutoRegressiveDecoder

FORMAT, CHECK = "npz", PREDICT
LIBRARY = SimpleNamespace(
    keras=keras, build_transformer_model=build_transformer_model, AutoRegressiveDecoder=AutoRegressiveDecoder
)
arrays = keras_models.arrays

if version("bert4keras3") != "1.6.6":
    raise ImportError("expected bert4keras3 1.6.6, got " + version("bert4keras3"))


def convert(scenario, folder):
    np.savez(str(folder / "variables.npz"), **dict(random_arrays(scenario.release)))


def load(scenario, folder):
    with np.load(str(folder / "variables.npz")) as file:
        return bert4keras_models.load(LIBRARY, scenario, folder, {name: file[name] for name in file.files})


def function(model, scenario, mode):
    return bert4keras_models.function(LIBRARY, model, scenario, mode)


def feed(model, mode, inputs):
    return keras_models.feed(keras, mode, inputs)
