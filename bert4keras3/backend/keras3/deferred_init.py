"""Initial values of weights that a checkpoint is about to fill: drawing them took most of the time of loading."""

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

# [(weight, its initializer), ...] of the innermost `deferred_initialization` that this thread has open
waiting: ContextVar = ContextVar("waiting", default=None)


class Unset(keras.initializers.Initializer):
    """Memory as it is found, behind a NaN, which tells later that nothing has been assigned."""

    def __call__(self, shape, dtype=None):
        values = np.empty(shape, "float32")
        values.flat[:1] = np.nan
        return keras.ops.convert_to_tensor(values, dtype=dtype)


@contextmanager
def deferred_initialization():
    """Random initial values are drawn at the end, for the weights to which nothing has been assigned by then."""
    token = waiting.set([])
    try:
        yield
    finally:
        weights = waiting.get()
        waiting.reset(token)
        for weight, initializer in weights:
            first = keras.ops.convert_to_numpy(weight[(slice(0, 1),) * len(weight.shape)])
            if np.isnan(first).any():
                weight.assign(initializer(tuple(weight.shape), dtype=weight.dtype))


def may_wait(initializer):
    return waiting.get() is not None and isinstance(initializer, RANDOM)


def make_weight(make, initializer):
    """make(initializer), a weight; if its random values may wait, with none as yet."""
    if not may_wait(initializer):
        return make(initializer)
    weight = make(Unset())
    waiting.get().append((weight, initializer))
    return weight


@contextmanager
def deferred_kernel(layer):
    """Around the build of one of Keras's own layers: the same for its kernel."""
    initializer = getattr(layer, "kernel_initializer", None)
    if not may_wait(initializer) or getattr(layer, "quantization_mode", None):
        yield
        return
    layer.kernel_initializer = Unset()
    yield
    layer.kernel_initializer = initializer
    waiting.get().append((layer.kernel, initializer))
