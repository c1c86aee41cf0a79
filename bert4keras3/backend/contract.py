"""The names of the Keras that this process uses.

`keras2`, `keras3` define what differs: `keras`, `K`, `framework`, `ops` (keras.ops or our functions of the same
names), `Layer`, `build_child`, `dense`, `project`, `exact_gelu`, `first_rows`, `dtype_name`,
`weight_shape`, `get_values`, `set_values`, `deferred_initialization`, `serializable`, `operation`, `get_available_gpus`,
`remat`, `device_scope`, `distribute`, `require_keras_3`, for optimizers `foreach` and `parallel_class`,
`optimizers_module`, the module that has them if they are not those of Keras 3,
and `multi_input_type`, the type in which a generator hands over several arrays.
`dense_group`, `transposed_kernels` and `with_transposed_kernels` are for generation, on Keras 3.
`fused_attention`, `fused_layer_norm` and `fast_dropout` are None where a compiler fuses or nothing does.
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
multi_input_type = flavour.multi_input_type
Layer = flavour.Layer
WithOutputs = flavour.WithOutputs
build_child = flavour.build_child
dense = flavour.dense
dense_group = flavour.dense_group
project = flavour.project
transposed_kernels = flavour.transposed_kernels
with_transposed_kernels = flavour.with_transposed_kernels
exact_gelu = flavour.exact_gelu
fast_dropout = flavour.fast_dropout
first_rows = flavour.first_rows
use_fused_ops = flavour.use_fused_ops
fused_attention = flavour.fused_attention
fused_layer_norm = flavour.fused_layer_norm
dtype_name = flavour.dtype_name
weight_shape = flavour.weight_shape
get_values = flavour.get_values
set_values = flavour.set_values
deferred_initialization = flavour.deferred_initialization
get_available_gpus = flavour.get_available_gpus
operation = flavour.operation
remat = flavour.remat
device_scope = flavour.device_scope
distribute = flavour.distribute
serializable = flavour.serializable
require_keras_3 = flavour.require_keras_3
foreach = flavour.foreach
parallel_class = flavour.parallel_class
optimizers_module = flavour.optimizers_module

Compiled = flavour_compiling.Compiled
CompiledLoop = flavour_compiling.CompiledLoop
write_column = flavour_compiling.write_column
penalize_gradients = flavour_gradients.penalize_gradients
perturb_training = flavour_gradients.perturb_training
value_gradients = flavour_gradients.value_gradients
