"""Tensor functions: `keras.ops` on Keras 3, functions with the same names on Keras 2. `from bert4keras3 import ops`"""

from bert4keras3.backend import ops as _ops


def __getattr__(name):
    return getattr(_ops, name)


def __dir__():
    return dir(_ops)
