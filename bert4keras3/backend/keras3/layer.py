"""Keras 3 on JAX, PyTorch, TensorFlow, OpenVINO or NumPy."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

import keras
import numpy as np

from bert4keras3.backend import accelerate
from bert4keras3.backend.absent import not_supported
from bert4keras3.backend.accelerate.allocator import keep_memory_in_training
from bert4keras3.backend.accelerate.lora import lora_factors, lora_weights  # noqa: F401
from bert4keras3.backend.flavour import Tensor, Tensors
from bert4keras3.backend.keras3 import foreach  # noqa: F401
from bert4keras3.backend.keras3 import legacy_k as K  # noqa: F401
from bert4keras3.backend.keras3.deferred_init import (  # noqa: F401
    deferred_initialization,
    deferred_kernel,
    make_weight,
)
from bert4keras3.backend.keras3.foreach import parallel_class  # noqa: F401
from bert4keras3.backend.keras3.legacy_scripts.layers import LayerOfKeras2
from bert4keras3.backend.keras3.legacy_scripts.metrics import add_metric
from bert4keras3.backend.keras3.private import (  # noqa: F401
    inner_layers,
    inputs_of_call,
    layer_of,
    layout_map_of,
    outputs_of_call,
    own_weight,
    remove_weight,
    set_layout,
    share_weight,
)
from bert4keras3.backend.keras3.processes import (  # noqa: F401
    fully_shard,
    seed_dropout,
    set_training_state,
    training_state,
)

framework = keras.config.backend()
ops = keras.ops
Model = keras.Model
is_tf_keras = False
get_custom_objects = keras.utils.get_custom_objects
device_scope = keras.device
accelerated = accelerate.implementation(framework)
multi_input_type = tuple  # what a generator yields for several inputs
compiles_shapes = framework != "torch"
optimizers_module = "bert4keras3.optimizers"

if framework == "jax":
    from bert4keras3.backend.keras3.jax_shards import (
        assign_slices,
        gathered,
        is_sharded,
        process_place,
        texts_of_processes,
    )
else:
    from bert4keras3.backend.one_process import (  # type: ignore[assignment]
        is_sharded,
        process_place,  # noqa: F401
        texts_of_processes,  # noqa: F401
    )
if framework in ("jax", "tensorflow", "torch"):
    from bert4keras3.backend.accelerate.compile import Compiled, CompiledLoop, write_column  # noqa: F401
else:
    Compiled = CompiledLoop = write_column = not_supported(  # type: ignore[misc]
        f"KERAS_BACKEND={framework} compiles no generation. Set KERAS_BACKEND=jax, tensorflow or torch"
    )
for _part in (
    {"jax": ["keras3.jax_trainer"], "openvino": ["keras3.openvino"]}.get(framework, [])
    + ["keras3.legacy_scripts.files", "accelerate.compiled_model", "keras3.layer_gradients"]
    + ["keras3.legacy_scripts.inputs", "keras3.legacy_scripts.names"]
):
    import_module("bert4keras3.backend." + _part)
if framework == "tensorflow":
    keep_memory_in_training(Model)


class WithOutputs:
    """Mixin of layers with Keras 2's `get_output_at`."""

    def get_output_at(self, node_index):
        """Output of the call with this number; -1 for the last call."""
        return outputs_of_call(self, node_index)


class Layer(WithOutputs, LayerOfKeras2):
    """Base class of our layers, which pass masks on.

    Attributes:
        output_dtype: dtype of the outputs if it differs from the compute dtype.
        trace_for_metrics: whether building a model traces `call`, to find the metrics that it adds.
    """

    output_dtype = None
    trace_for_metrics = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.supports_masking = True

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        """Add a weight as in Keras, or by Keras 2's positional arguments, `add_weight("scale", (8,))`."""
        if args and isinstance(args[0], str):
            kwargs.update(zip(("name", "shape", "dtype", "initializer"), args))
            args = ()
        make = super().add_weight
        if "initializer" not in kwargs:
            return make(*args, **kwargs)
        initializer = keras.initializers.get(kwargs.pop("initializer"))
        return make_weight(lambda one: make(*args, initializer=one, **kwargs), initializer)

    def add_loss(self, loss: Any, inputs: Tensors = None) -> None:
        """Add a tensor to the model's loss; `inputs`, the tensors it depends on, matters on Keras 2 alone."""
        super().add_loss(loss)

    def add_metric(self, value: Tensor, name: str | None = None, aggregation: str = "mean") -> None:
        """Show the mean of a tensor over the batches of an epoch."""
        add_metric(self, value, name)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        """The mask of the inputs is the mask of the outputs."""
        return mask

    def compute_output_spec(self, *args, **kwargs):
        if self.trace_for_metrics and framework != "numpy":  # NumPy has no symbolic calls, and no training
            return keras.Operation.compute_output_spec(self, *args, **kwargs)
        spec = super().compute_output_spec(*args, **kwargs)
        if self.output_dtype is None:
            return spec
        return keras.tree.map_structure(lambda one: keras.KerasTensor(one.shape, self.output_dtype), spec)


def serializable(item: Any) -> Any:
    """Class decorator: models that use this class load without `custom_objects`.

    The registered name starts with the package, because Keras has layers of the same name.
    """
    return keras.saving.register_keras_serializable("bert4keras3")(item)


def operation(function):
    """Decorator of a function of tensors: on symbolic tensors of a model, a call becomes one node.

    The function takes tensors by position and constants by keyword. The node loads from every file format; nodes of
    keras.ops do not load from HDF5.
    """

    class Node(keras.Operation):
        def __init__(self, name=None, **constants):
            super().__init__(name=name)
            self.constants = constants

        def call(self, *tensors):
            return function(*tensors, **self.constants)

        def get_config(self):
            return dict(self.constants, name=self.name)

    Node.__name__ = Node.__qualname__ = function.__name__.title().replace("_", "")
    Node.__module__ = function.__module__
    serializable(Node)

    @functools.wraps(function)
    def wrapped(*tensors, **constants):
        symbolic = any(isinstance(tensor, keras.KerasTensor) for tensor in tensors)
        return Node(**constants)(*tensors) if symbolic else function(*tensors, **constants)

    return wrapped


def build_child(layer, input_shape):
    """Build a layer inside another layer, so that the order of weights is the order of these calls."""
    with deferred_kernel(layer):
        layer.build(tuple(input_shape))
    return layer


def require_keras_3(name, instead, compiles=False):
    """Raise NotImplementedError on OpenVINO and NumPy for a feature that `compiles`; ImportError on Keras 2."""
    if compiles and framework not in ("jax", "tensorflow", "torch"):
        raise NotImplementedError(
            f"{name}: expected KERAS_BACKEND=jax, tensorflow or torch, got {framework}. {instead}"
        )


if framework == "openvino":
    from bert4keras3.backend.keras3.openvino import first_rows
else:

    def first_rows(table, count):
        """table[:count]; count may be a tensor."""
        return table[:count]


def adapted_layers(layer):
    """The layers with a LoRA adapter, of a layer and the layers inside it."""
    return [one for one in [layer, *inner_layers(layer)] if lora_weights(one)]


def forget_functions(model):
    """Let a model compile its functions of training and prediction again, because its layers have changed."""
    model.train_function = model.test_function = model.predict_function = None


def dtype_name(x):
    """Name of the dtype of a tensor, a variable or an array."""
    return keras.backend.standardize_dtype(x.dtype)


def weight_shape(weight):
    return tuple(weight.shape)


def get_values(weights: Any) -> list[Any]:
    """Values of the weights as NumPy arrays, in the same order."""
    return [gathered(one) if is_sharded(one) else keras.ops.convert_to_numpy(one) for one in weights]


def set_values(pairs: Any) -> None:
    """Assign NumPy arrays to weights: `[(weight, value), ...]`. A weight on several devices may have a LazyArray."""
    for weight, value in pairs:
        if is_sharded(weight):
            assign_slices(weight, value)
        else:
            weight.assign(accelerated.to_assignable(transposed(np.asarray(value))))


def transposed(array):
    """Copy of a matrix that is a transposed view of a file; any other array.

    Some rows of the file are copied at a time: they are read in order, and stay in the caches.
    """
    if array.flags.writeable or array.ndim != 2 or array.strides[0] >= array.strides[1]:
        return array
    rows, copy = array.T, np.empty(array.shape, array.dtype)
    for start in range(0, len(rows), 64):
        copy[:, start : start + 64] = np.ascontiguousarray(rows[start : start + 64]).T
    return copy


def get_available_gpus() -> list[str]:
    """Names of the GPUs, such as "gpu:0"."""
    if framework == "torch":
        import torch

        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if framework == "numpy":
        return []
    try:
        return [str(device) for device in keras.distribution.list_devices("gpu")]
    except RuntimeError:  # on JAX without a GPU
        return []


def distribute(model, devices):
    """Copy the weights of a model to all devices, or lay them out, and split each batch over the devices.

    On JAX this sets keras.distribution for the whole process.

    Args:
        devices: names of devices, or a LayoutMap, over whose mesh's first axis batches are split.

    Returns:
        The model; None on TensorFlow, on which parallel.py splits the batches by a layer.

    Raises:
        NotImplementedError: on PyTorch, which needs a process for each device.
    """
    if framework == "tensorflow":
        return None
    if framework == "torch":
        raise NotImplementedError(
            "data_parallel: Keras on PyTorch trains on several devices with DistributedDataParallel or FSDP, one "
            "process a device: docs/processes.md and examples/processes_torch.py"
        )
    if isinstance(devices, keras.distribution.LayoutMap):
        axis = devices.device_mesh.axis_names[0]
        distribution = keras.distribution.ModelParallel(
            layout_map=devices, batch_dim_name=axis, auto_shard_dataset=False
        )
    else:
        distribution = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    keras.distribution.set_distribution(distribution)
    for variable in model.variables:
        set_layout(variable, distribution.get_variable_layout(variable))
        variable.assign(variable.value)
    return model


def make_layout_map(mesh):
    """An empty LayoutMap of a mesh. Raises NotImplementedError if Keras splits no weights on this framework."""
    if framework != "jax":
        raise NotImplementedError(
            f"Keras splits the weights of a model on JAX alone, got KERAS_BACKEND={framework}. Set KERAS_BACKEND=jax"
        )
    return keras.distribution.LayoutMap(mesh)


def layout_map_of_process():
    """The LayoutMap by which this process splits weights; None if it splits none."""
    return layout_map_of(keras.distribution.distribution())


def remat(call, layer, inputs):
    """call(layer, inputs), whose intermediate results the backward pass computes again.

    All variables are arguments, and changed variables (states of random numbers) are results, so that both computations
    read the same values.
    """
    state = layer.non_trainable_variables
    variables = layer.trainable_variables + state

    def compute(inputs, values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values))) as scope:
            outputs = call(layer, inputs)
        return outputs, [scope.get_current_value(variable) for variable in state]

    outputs, changed = accelerated.rematerialize(compute)(inputs, [variable.value for variable in variables])
    for variable, value in zip(state, changed):
        variable.assign(value)
    return outputs
