"""Names and arguments of Keras 2 that Keras 3 lacks: `from keras import backend as K`, `Adam(lr=…)`, …"""

import keras

from bert4keras3.backend.extensions import extends, set_attribute
from bert4keras3.backend.keras3 import legacy_k as keras3_backend
from bert4keras3.backend.keras3.private import outputs_of_call

Layer, Optimizer = keras.layers.Layer, keras.optimizers.Optimizer
HELPERS = ("are_numbers", "sizes_of", "value_of", "fresh_seed", "is_training")

for _name, _value in vars(keras3_backend).items():
    if callable(_value) and _name[0].islower() and _name not in HELPERS and not hasattr(keras.backend, _name):
        set_attribute(keras.backend, _name, _value)


@extends(Optimizer, "__init__")
def optimizer_init(original, self, learning_rate=0.001, *args, lr=None, **kwargs):
    """Accept the learning rate as `lr`."""
    original(self, learning_rate if lr is None else lr, *args, **kwargs)


def set_learning_rate(self, value):
    self.learning_rate = value


if not hasattr(Optimizer, "lr"):
    set_attribute(Optimizer, "lr", property(lambda self: self.learning_rate, set_learning_rate))


@extends(Layer, "get_output_at")
def get_output_at(original, self, node_index):
    """Output of the call with this number; -1 for the last call."""
    return outputs_of_call(self, node_index)


@extends(Layer, "add_weight")
def add_weight(original, self, *args, **kwargs):
    """Accept positional arguments in the order of Keras 2, if the first one is a name: `add_weight("scale", (8,))`."""
    if args and isinstance(args[0], str):
        kwargs.update(zip(("name", "shape", "dtype", "initializer"), args))
        args = ()
    return original(self, *args, **kwargs)
