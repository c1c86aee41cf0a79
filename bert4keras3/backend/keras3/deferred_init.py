"""Deferred initialization: no random values for weights that a checkpoint is about to set.

Random initial values took most of the time of loading a model.
"""

from contextlib import contextmanager
from contextvars import ContextVar

import keras
import numpy as np

RANDOM = (
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
    keras.initializers.VarianceScaling,
)

# [(weight, its initializer), ...] of the innermost `deferred_initialization` of this thread
pending: ContextVar = ContextVar("pending", default=None)


class Uninitialized(keras.initializers.Initializer):
    """Uninitialized memory whose first number is NaN: the NaN is gone once a value has been assigned."""

    def __call__(self, shape, dtype=None):
        values = np.empty(shape, "float32")
        values.flat[:1] = np.nan
        return keras.ops.convert_to_tensor(values, dtype=dtype)


@contextmanager
def deferred_initialization():
    """Context that draws random initial values at its end, for weights without an assigned value."""
    token = pending.set([])
    try:
        yield
    finally:
        weights = pending.get()
        pending.reset(token)
        for weight, initializer in weights:
            first = keras.ops.convert_to_numpy(weight[(slice(0, 1),) * len(weight.shape)])
            if np.isnan(first).any():
                weight.assign(initializer(tuple(weight.shape), dtype=weight.dtype))


def may_defer(initializer):
    """Not with keras.distribution: several processes have to begin with equal values, which JAX checks."""
    return (
        pending.get() is not None
        and isinstance(initializer, RANDOM)
        and keras.distribution.distribution() is None
    )


def make_weight(make, initializer):
    """make(initializer), a weight. If the initializer is random, its values may be deferred."""
    if not may_defer(initializer):
        return make(initializer)
    weight = make(Uninitialized())
    pending.get().append((weight, initializer))
    return weight


@contextmanager
def deferred_kernel(layer):
    """Context for building one of Keras's own layers, whose kernel may be deferred."""
    initializer = getattr(layer, "kernel_initializer", None)
    if not may_defer(initializer) or getattr(layer, "quantization_mode", None):
        yield
        return
    layer.kernel_initializer = Uninitialized()
    yield
    layer.kernel_initializer = initializer
    pending.get().append((layer.kernel, initializer))
