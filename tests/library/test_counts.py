"""An extra copy or operation in a model is named by its count alone: bench/trackers.py."""

import os

import numpy as np
import pytest

from bench.trackers import CallCounter
from bert4keras3.backend import keras

FRAMEWORK = os.environ.get("KERAS_BACKEND") if hasattr(keras, "ops") else None
EXTRA = {"jax": {"op sine"}, "torch": {"op clone", "op copy_", "bytes allocated"}}

pytestmark = pytest.mark.skipif(FRAMEWORK not in EXTRA, reason="only PyTorch and JAX tell their operations")


def counts(extra):
    """Of a call of a small model, which copies or takes a sine once more."""

    class Extra(keras.layers.Layer):
        def call(self, x):
            if not extra:
                return x
            return x.clone() if FRAMEWORK == "torch" else keras.ops.sin(x)

    x = keras.Input((16,))
    model = keras.Model(x, Extra()(keras.layers.Dense(32, activation="gelu")(x)))
    counter, inputs = CallCounter(), np.ones((2, 16), "float32")
    model.predict(inputs, verbose=0)
    return counter.count(lambda: model.predict(inputs, verbose=0))


def differing(one, two):
    both = {name: (one.get(name, 0), two.get(name, 0)) for name in [*one, *two]}
    return {name for name, (old, new) in both.items() if None not in (old, new) and old != new}


def test_an_extra_operation_is_named_and_equal_models_have_equal_counts():
    plain = counts(False)
    operations = {name for name in plain if name != "Python calls"}
    assert operations and not differing(plain, counts(False)) & operations
    assert EXTRA[FRAMEWORK] <= differing(plain, counts(True))
