"""The names of the Keras that this process uses.

`keras2` and `keras3` define what differs: `keras`, `K`, `framework`, `ops` (keras.ops or our functions of the same
names), `Layer`, `WithOutputs`, `build_child`, `dense`, `project`, `exact_gelu`, `first_rows`, `dtype_name`,
`weight_shape`, `get_values`, `set_values`, `initial_values_last`, `serializable`, `operation`, `get_available_gpus`,
`remat`, `device_scope`, `spread_batches`, `require_keras_3`, for optimizers `many` and `parallel_class`,
`optimizers_module`, the module that has them if they are not those of Keras 3,
and `batch_structure`, the type in which a generator hands over several arrays.
`dense_each`, `turned_kernels` and `with_turned_kernels` are for generation, on Keras 3.
`fused_attention`, `fused_layer_normalization` and `quick_dropout` are None where a compiler fuses or nothing does.
"""

from importlib import import_module

from bert4keras3.backend.accelerate.allocator import keep_freed_memory
from bert4keras3.backend.flavour import FLAVOUR

generation = "keras3" if FLAVOUR == "keras3" else "keras2"
compiling = {"keras2": "keras2.compile", "keras3": "accelerate.compile"}[generation]
flavour = import_module(f"bert4keras3.backend.{generation}.layer")
flavour_compiling = import_module(f"bert4keras3.backend.{compiling}")
flavour_gradients = import_module(f"bert4keras3.backend.{generation}.gradients")

framework = flavour.framework
is_tf_keras = FLAVOUR == "tf_keras"
if framework == "tensorflow":
    keep_freed_memory()

keras = flavour.keras
K = flavour.K
Model = keras.models.Model
get_custom_objects = keras.utils.get_custom_objects

ops = flavour.ops
batch_structure = flavour.batch_structure
Layer = flavour.Layer
WithOutputs = flavour.WithOutputs
build_child = flavour.build_child
dense = flavour.dense
dense_each = flavour.dense_each
project = flavour.project
turned_kernels = flavour.turned_kernels
with_turned_kernels = flavour.with_turned_kernels
exact_gelu = flavour.exact_gelu
quick_dropout = flavour.quick_dropout
first_rows = flavour.first_rows
fuses = flavour.fuses
fused_attention = flavour.fused_attention
fused_layer_normalization = flavour.fused_layer_normalization
dtype_name = flavour.dtype_name
weight_shape = flavour.weight_shape
get_values = flavour.get_values
set_values = flavour.set_values
initial_values_last = flavour.initial_values_last
get_available_gpus = flavour.get_available_gpus
operation = flavour.operation
remat = flavour.remat
device_scope = flavour.device_scope
spread_batches = flavour.spread_batches
serializable = flavour.serializable
require_keras_3 = flavour.require_keras_3
many = flavour.many
parallel_class = flavour.parallel_class
optimizers_module = flavour.optimizers_module

Compiled = flavour_compiling.Compiled
CompiledLoop = flavour_compiling.CompiledLoop
write_column = flavour_compiling.write_column
penalize_gradients = flavour_gradients.penalize_gradients
perturb_training = flavour_gradients.perturb_training
value_gradients = flavour_gradients.value_gradients
