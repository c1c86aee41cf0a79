"""Keras of generation 2 on TensorFlow: keras 2.3.1 (to TensorFlow 2.2), or tf.keras (1.15 to 2.15)."""

import tensorflow as tf

from bert4keras3.backend import ops_tf
from bert4keras3.backend.flavour import FLAVOUR

if FLAVOUR == "tf_keras":
    keras = tf.keras
else:
    import keras  # type: ignore[no-redef]

framework = "tensorflow"
ops = ops_tf
get_values = keras.backend.batch_get_value
set_values = keras.backend.batch_set_value
batch_structure = tuple if FLAVOUR == "tf_keras" else list


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


class Layer(keras.layers.Layer):  # type: ignore[name-defined]
    """Base of our layers: passes masks on; shapes arrive as tuples of int or None."""

    def __init__(self, *args, **kwargs):
        super(Layer, self).__init__(*args, **kwargs)
        self.supports_masking = True

    def __init_subclass__(cls, **kwargs):
        super(Layer, cls).__init_subclass__(**kwargs)
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
