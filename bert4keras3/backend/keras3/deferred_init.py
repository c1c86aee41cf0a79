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

if keras.config.backend() == "jax":
    from bert4keras3.backend.keras3 import jax_shards
    from bert4keras3.backend.keras3.jax_shards import is_sharded
else:
    from bert4keras3.backend.one_process import is_sharded

# [(weight, its initializer), ...] of the innermost `deferred_initialization` of this thread
pending: ContextVar = ContextVar("pending", default=None)


class Uninitialized(keras.initializers.Initializer):
    """Uninitialized memory whose first number is NaN: the NaN is gone once a value has been assigned.

    On several devices, the first number of each slice is NaN. A Keras that gives no `layout` there would make the whole
    weight in one piece and copy it, so that nothing is gained: then the values are drawn at once.

    Args:
        initializer: of the values that are deferred.
    """

    def __init__(self, initializer):
        self.initializer = initializer

    def __call__(self, shape, dtype=None, layout=None):
        if layout is not None:
            return jax_shards.unwritten(shape, dtype, jax_shards.sharding_of(layout.spec))
        if keras.distribution.distribution() is not None:
            return self.initializer(shape, dtype=dtype)
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
            if np.isnan(first_number(weight)).any():
                weight.assign(initializer(tuple(weight.shape), dtype=weight.dtype))


def first_number(weight):
    """The first number of a weight, or of the first slice in this process, as an array."""
    if is_sharded(weight):
        return jax_shards.first_number(weight)
    return keras.ops.convert_to_numpy(weight[(slice(0, 1),) * len(weight.shape)])


def may_defer(initializer):
    return pending.get() is not None and isinstance(initializer, RANDOM)


def make_weight(make, initializer):
    """make(initializer), a weight. If the initializer is random, its values may be deferred."""
    if not may_defer(initializer):
        return make(initializer)
    weight = make(Uninitialized(initializer))
    defer(weight, initializer)
    return weight


def defer(weight, initializer):
    """Remember the initializer of an uninitialized weight."""
    pending.get().append((weight, initializer))
    if is_sharded(weight) and np.isnan(first_number(weight)).any():
        # Keras has copied the memory, and by that written to it: unwritten memory costs nothing.
        weight.assign(jax_shards.unwritten(weight.shape, weight.dtype, weight.value.sharding))
        jax_shards.give_back_freed_memory()


@contextmanager
def deferred_kernel(layer):
    """Context for building one of Keras's own layers, whose kernel may be deferred."""
    initializer = getattr(layer, "kernel_initializer", None)
    if not may_defer(initializer) or getattr(layer, "quantization_mode", None):
        yield
        return
    layer.kernel_initializer = Uninitialized(initializer)
    yield
    layer.kernel_initializer = initializer
    defer(layer.kernel, initializer)
