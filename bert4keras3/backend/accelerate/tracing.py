"""Names that compiled and traced functions share."""

import keras


class NotTraceable(RuntimeError):
    """The value of a tensor decides which operators run, so the next call may need other operators."""


def shapes(nested):
    """Shapes and dtypes of the tensors of a nest."""
    return tuple(map(shape, keras.tree.flatten(nested)))


def shape(x):
    return tuple(x.shape), x.dtype
