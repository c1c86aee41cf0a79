"""What keras 2.3.1 and tf.keras have in common: TensorFlow tensors under a Keras of generation 2."""

import tensorflow as tf


def integer_shape(shape):
    """A shape, or a nest of shapes, as tuples of int or None (TensorFlow passes TensorShape and Dimension)."""
    if isinstance(shape, tf.TensorShape):
        return tuple(shape.as_list())
    if isinstance(shape, list):
        return [integer_shape(item) for item in shape]
    if isinstance(shape, tuple):
        return tuple(integer_shape(item) for item in shape)
    return getattr(shape, "value", shape)


def with_integer_shape(method):
    def wrapped(self, input_shape):
        return method(self, integer_shape(input_shape))

    wrapped.__doc__ = method.__doc__
    return wrapped


class OurLayer(object):
    """Mixed into the base of our layers: passes masks on; shapes arrive as tuples of int or None."""

    def __init__(self, *args, **kwargs):
        super(OurLayer, self).__init__(*args, **kwargs)
        self.supports_masking = True

    def __init_subclass__(cls, **kwargs):
        super(OurLayer, cls).__init_subclass__(**kwargs)
        for name in ("build", "compute_output_shape"):
            if name in cls.__dict__:
                setattr(cls, name, with_integer_shape(cls.__dict__[name]))


def build_child(layer, input_shape):
    """Make the weights of a layer inside a layer now, so that their order is the order of these calls."""
    with tf.name_scope(layer.name):  # or weights of one layer would share a name, which HDF5 refuses
        layer.build(tuple(input_shape))
    return layer


def dtype_name(x):
    """dtype of a tensor, a variable or an array as a string."""
    return tf.as_dtype(x.dtype).base_dtype.name


def weight_shape(weight):
    return tuple(weight.shape.as_list())
