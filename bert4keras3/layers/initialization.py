"""Initializers for several weights."""


def fresh(initializer):
    """A copy of an initializer. One object would give two weights of one shape the same values on Keras 3.

    A user's function is taken as it is.
    """
    if hasattr(initializer, "get_config"):
        return type(initializer).from_config(initializer.get_config())
    return initializer
