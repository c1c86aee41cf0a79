"""Initializers for several weights."""

from bert4keras3.backend import keras


def fresh(initializer):
    """A copy of an initializer. One object would give two weights of one shape the same values on Keras 3."""
    return keras.initializers.get(keras.initializers.serialize(initializer))
