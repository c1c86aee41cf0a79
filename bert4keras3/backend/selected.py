"""The names that every flavour offers, taken from the one that this process uses.

A flavour defines: `keras` and `K` (its backend module), `ops` (keras.ops or our functions of the same names),
`framework`, `is_tf_keras`, `Layer` and `Model`, `build_child`, `dtype_name`, `weight_shape`, `get_values`,
`set_values` and `get_custom_objects`.
"""

from importlib import import_module

from bert4keras3.backend.flavour import FLAVOUR

flavour = import_module("bert4keras3.backend." + FLAVOUR)

keras = flavour.keras
K = flavour.K
ops = flavour.ops
framework = flavour.framework
is_tf_keras = flavour.is_tf_keras
Layer = flavour.Layer
Model = flavour.Model
build_child = flavour.build_child
dtype_name = flavour.dtype_name
weight_shape = flavour.weight_shape
get_values = flavour.get_values
set_values = flavour.set_values
get_custom_objects = flavour.get_custom_objects
