"""The training phase of the running call, and fresh random seeds, for functions of `K` on Keras 3.

Keras 3 gives both to layers alone: `training` is an argument of `call`, and a layer owns its SeedGenerator. Code for
Keras 2 gets both from its backend.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

GENERATORS: dict[int, Any] = {}  # {seed: generator}


class TrainingPhaseProbe(keras.layers.Layer):
    """Stores the training phase of the call around it in `is_training`, and returns its inputs."""

    def __init__(self):
        super().__init__(autocast=False)
        self.is_training = False

    def call(self, inputs, training=None):
        self.is_training = bool(training)
        return inputs


class InTrainPhase(keras.layers.Layer):
    """Returns the first of its two inputs in training, else the second."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs, training=None):
        return inputs[0] if training else inputs[1]

    def compute_output_shape(self, input_shape):
        return input_shape[1]


def is_training() -> bool:
    """Whether the running call has `training=True`; False outside of calls."""
    probe = TrainingPhaseProbe()
    probe(keras.ops.zeros(()))
    return probe.is_training


def fresh_seed(seed: int | None = None) -> Any:
    """A seed for functions of keras.random, which differs each time that a call runs, compiled or not.

    On JAX a compiled call has no state, so the seed comes from NumPy's generator on the host.
    `keras.utils.set_random_seed` seeds this generator. An integer gives the same sequence of seeds in each process.
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
