"""Copies of initializers, and Dense layers inside other layers."""

from bert4keras3.backend import build_child, keras


def fresh(initializer):
    """A copy of an initializer; a plain function is returned unchanged.

    On Keras 3, one initializer object gives two weights of the same shape equal values.
    """
    if hasattr(initializer, "get_config"):
        return type(initializer).from_config(initializer.get_config())
    return initializer


def inner_dense(owner, units, input_shape, name, activation=None):
    """A built Dense with the bias setting and the initializer of the layer `owner`."""
    dense = keras.layers.Dense(
        units,
        activation=activation,
        use_bias=owner.use_bias,
        kernel_initializer=fresh(owner.kernel_initializer),
        name=name,
    )
    return build_child(dense, input_shape)
