"""The names of the Keras that this process uses.

`keras2` and `keras3` define what differs: `keras`, `K`, `framework`, `ops` (keras.ops or our functions of the
same names), `Layer`, `build_child`, `dtype_name`, `weight_shape`, `get_values`, `set_values`, `serializable`,
`operation`, `get_available_gpus`, `remat`, `device_scope`, `spread_batches` and `batch_structure`, the type in which
a generator hands over several arrays.
"""

from importlib import import_module

from bert4keras3.backend.flavour import FLAVOUR

generation = "keras3" if FLAVOUR == "keras3" else "keras2"
flavour = import_module("bert4keras3.backend." + generation)
flavour_compiling = import_module("bert4keras3.backend." + generation + "_compiling")
flavour_gradients = import_module("bert4keras3.backend." + generation + "_gradients")

framework = flavour.framework
is_tf_keras = FLAVOUR == "tf_keras"

keras = flavour.keras
K = flavour.K
Model = keras.models.Model
get_custom_objects = keras.utils.get_custom_objects

ops = flavour.ops
batch_structure = flavour.batch_structure
Layer = flavour.Layer
build_child = flavour.build_child
dtype_name = flavour.dtype_name
weight_shape = flavour.weight_shape
get_values = flavour.get_values
set_values = flavour.set_values
get_available_gpus = flavour.get_available_gpus
operation = flavour.operation
remat = flavour.remat
device_scope = flavour.device_scope
spread_batches = flavour.spread_batches
serializable = flavour.serializable

Compiled = flavour_compiling.Compiled
CompiledLoop = flavour_compiling.CompiledLoop
need_keras_3 = flavour_compiling.need_keras_3
write_column = flavour_compiling.write_column
penalize_gradients = flavour_gradients.penalize_gradients
perturb_training = flavour_gradients.perturb_training
value_gradients = flavour_gradients.value_gradients
