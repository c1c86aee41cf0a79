"""What code inside a running call of Keras 3 may ask for: is this training, and random numbers that are new each time.

Keras 3 hands both to layers only: `training` as an argument of their call, random numbers through a SeedGenerator
that they own. Code for Keras 2 asks its backend.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

GENERATORS: dict[int, Any] = {}  # by seed


class TrainingPhaseProbe(keras.layers.Layer):
    """Keeps in `is_training` what Keras says of the call around it. Inputs are handed on."""

    def __init__(self):
        super().__init__(autocast=False)
        self.is_training = False

    def call(self, inputs, training=None):
        self.is_training = bool(training)
        return inputs


class InTrainPhase(keras.layers.Layer):
    """Of two inputs, the first while the model is trained, the second otherwise."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs, training=None):
        return inputs[0] if training else inputs[1]

    def compute_output_shape(self, input_shape):
        return input_shape[1]


def is_training() -> bool:
    """Whether the layer or model that is called now is called with `training=True`; False outside of calls."""
    reader = TrainingPhaseProbe()
    reader(keras.ops.zeros(()))
    return reader.is_training


def fresh_seed(seed: int | None = None) -> Any:
    """A seed for functions of keras.random, another one each time that the call runs, compiled or not.

    seed: makes the row of them the same in each process. On JAX a compiled call has no state of its own, so the
    seed comes from the host: NumPy's generator, which `keras.utils.set_random_seed` seeds.
    """
    if keras.config.backend() != "jax":
        if seed is not None and seed not in GENERATORS:
            GENERATORS[seed] = keras.random.SeedGenerator(seed)
        return GENERATORS.get(seed)  # type: ignore[arg-type]
    import jax

    if seed is not None and seed not in GENERATORS:
        GENERATORS[seed] = np.random.RandomState(seed)
    generator = GENERATORS.get(seed, np.random)  # type: ignore[arg-type]
    drawn = jax.ShapeDtypeStruct((2,), "uint32")
    return jax.experimental.io_callback(lambda: generator.randint(0, 2**32, 2, "uint32"), drawn)
