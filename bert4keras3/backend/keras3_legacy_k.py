"""Keras 2's backend functions under `keras.backend` too, for `from keras import backend as K`."""

import keras

from bert4keras3.backend import keras3_backend
from bert4keras3.backend.keras3_extensions import set_attribute

HELPERS = ("are_numbers", "sizes_of", "value_of", "fresh_seed", "is_training")

for _name, _value in vars(keras3_backend).items():
    if callable(_value) and _name[0].islower() and _name not in HELPERS and not hasattr(keras.backend, _name):
        set_attribute(keras.backend, _name, _value)
