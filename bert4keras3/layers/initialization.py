"""Initializers for several weights, and the Dense layers inside our layers that use them."""

from bert4keras3.backend import build_child, keras


def fresh(initializer):
    """A copy of an initializer. One object would give two weights of one shape the same values on Keras 3.

    A user's function is taken as it is.
    """
    if hasattr(initializer, "get_config"):
        return type(initializer).from_config(initializer.get_config())
    return initializer


def inner_dense(owner, units, input_shape, name, activation=None):
    """A built Dense with the bias and initializer of the layer that it is part of."""
    dense = keras.layers.Dense(
        units,
        activation=activation,
        use_bias=owner.use_bias,
        kernel_initializer=fresh(owner.kernel_initializer),
        name=name,
    )
    return build_child(dense, input_shape)
