"""Keras 3 on TensorFlow, JAX or PyTorch."""

import keras
import numpy as np

framework = keras.config.backend()
ops = keras.ops
batch_structure = tuple


class Layer(keras.layers.Layer):
    """Base of our layers: passes masks on; `output_dtype` names the dtype of outputs that are not floats."""

    output_dtype = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.supports_masking = True

    def compute_output_spec(self, inputs, **kwargs):
        many = isinstance(inputs, (list, tuple))
        shape = self.compute_output_shape([x.shape for x in inputs] if many else inputs.shape)
        dtype = self.output_dtype or self.compute_dtype
        if isinstance(shape, list):
            return [keras.KerasTensor(one, dtype=dtype) for one in shape]
        return keras.KerasTensor(shape, dtype=dtype)


def build_child(layer, input_shape):
    """Make the weights of a layer inside a layer now, so that their order is the order of these calls."""
    layer.build(tuple(input_shape))
    return layer


def dtype_name(x):
    """dtype of a tensor, a variable or an array as a string."""
    return keras.backend.standardize_dtype(x.dtype)


def weight_shape(weight):
    return tuple(weight.shape)


def get_values(weights):
    """Values of the weights as NumPy arrays, in the same order."""
    return [keras.ops.convert_to_numpy(weight) for weight in weights]


def set_values(pairs):
    """Assign NumPy arrays to weights: `[(weight, value), ...]`."""
    for weight, value in pairs:
        # A framework may keep the memory that it is given: never hand it a file's pages.
        weight.assign(value if value.flags.writeable else np.array(value))
