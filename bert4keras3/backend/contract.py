"""The names that every Keras offers, and their definitions on the Keras of this process.

keras2/ and keras3/ define what differs between Keras 2 and Keras 3. accelerate/ defines what is there for speed
alone. A Keras that lacks a name has `not_supported("reason")` in its place. To add a primitive, add its name
here and its definition there: tests/library/test_contract.py looks for each name on each Keras.
"""

from importlib import import_module

from bert4keras3.backend import accelerate
from bert4keras3.backend.flavour import FLAVOUR

CONTRACT = (
    # Keras itself
    "keras",  # the package: keras or tf.keras
    "K",  # keras.backend of Keras 2, under the same names
    "ops",  # keras.ops, under the same names
    "framework",  # "tensorflow", "jax", "torch", "openvino" or "numpy"
    "is_tf_keras",
    "Model",
    "get_custom_objects",
    # layers
    "Layer",
    "WithOutputs",  # mixin: get_output_at
    "build_child",
    "operation",
    "serializable",
    "deferred_initialization",
    # tensors and weights
    "dtype_name",
    "first_rows",
    "weight_shape",
    "get_values",
    "set_values",
    "is_sharded",
    "inner_layers",
    "inputs_of_call",
    "layer_of",
    "own_weight",  # the variable of a Dense or an Embedding, as int8 stores it
    # LoRA
    "lora_weights",  # the variables of a layer's adapter; none on Keras 2
    "lora_factors",
    "adapted_layers",  # of a layer and the layers inside it; none on Keras 2
    "share_weight",
    "remove_weight",
    "forget_functions",
    # accelerated
    "dense",
    "dense_group",
    "logits",
    "dropout",
    "gelu",
    "layer_norm",
    "attention",
    "use_fused_ops",
    "transposed_kernels",
    "with_transposed_kernels",
    "Compiled",
    "CompiledLoop",
    "write_column",
    # training
    "remat",
    "foreach",
    "parallel_class",
    "optimizers_module",
    "value_gradients",
    "perturb_training",
    "penalize_gradients",
    "multi_input_type",
    "compiles_shapes",  # whether each shape of the inputs is compiled
    # devices
    "device_scope",
    "distribute",
    "layout_map_of_process",
    "make_layout_map",
    "get_available_gpus",
    "process_place",
    "texts_of_processes",
    "require_keras_3",
    # several processes
    "training_state",
    "set_training_state",
    "seed_dropout",
    "fully_shard",
)

generation = "keras3" if FLAVOUR == "keras3" else "keras2"
layer = import_module(f"bert4keras3.backend.{generation}.layer")
modules = [
    layer,
    import_module(f"bert4keras3.backend.{generation}.gradients"),
    accelerate.implementation(layer.framework if generation == "keras3" else "keras2"),
]


def __getattr__(name):
    found = [vars(module)[name] for module in modules if name in vars(module)]
    if name not in CONTRACT or not found:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found[0]
