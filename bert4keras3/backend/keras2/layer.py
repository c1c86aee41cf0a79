"""Keras 2: keras 2.3.1 on TensorFlow 1.15 to 2.2, or tf.keras of TensorFlow 1.15 to 2.15."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from bert4keras3.backend.absent import not_supported
from bert4keras3.backend.accelerate.allocator import keep_memory_in_training
from bert4keras3.backend.flavour import FLAVOUR, Tensor, Tensors
from bert4keras3.backend.keras2 import ops  # noqa: F401
from bert4keras3.backend.keras2.files import extend_loading
from bert4keras3.backend.one_process import is_sharded, process_place, texts_of_processes  # noqa: F401
from bert4keras3.backend.package import keras

extend_loading(keras)
keep_memory_in_training(keras.models.Model)
K = keras.backend
framework = "tensorflow"
Model = keras.models.Model
is_tf_keras = FLAVOUR == "tf_keras"
get_custom_objects = keras.utils.get_custom_objects
get_values = keras.backend.batch_get_value
set_values = keras.backend.batch_set_value
multi_input_type = tuple if FLAVOUR == "tf_keras" else list
compiles_shapes = True
foreach = parallel_class = not_supported("on Keras 2 the optimizers stand in backend/keras2/optimizers.py")
Compiled = CompiledLoop = write_column = not_supported("compiled generation needs Keras 3")
inner_layers = own_weight = not_supported("compiled generation, int8 and LoRA need Keras 3")
lora_factors = share_weight = remove_weight = forget_functions = not_supported("LoRA needs Keras 3")
make_layout_map = not_supported("Keras splits the weights of a model on JAX alone. Set KERAS_BACKEND=jax")
training_state = set_training_state = seed_dropout = fully_shard = not_supported(
    "training in several processes needs Keras 3. On tf.keras use tf.distribute and its BackupAndRestore"
)
optimizers_module = "bert4keras3.backend.keras2.optimizers"


def require_keras_3(name, instead, compiles=False):
    """Raise ImportError for a feature of Keras 3; `instead` is advice for users of Keras 2."""
    found = (
        f"tf.keras of TensorFlow {tf.__version__}" if FLAVOUR == "tf_keras" else f"Keras {keras.__version__}"
    )
    raise ImportError(f"{name} is for Keras 3 alone, and this is {found}. {instead}")


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


class WithOutputs:
    """An empty mixin: every layer of Keras 2 has `get_output_at`."""


class Layer(keras.layers.Layer):  # type: ignore[name-defined]
    """Base class of our layers, which pass masks on. Its methods get shapes as tuples of int or None."""

    def __init__(self, *args: Any, autocast: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.supports_masking = True
        if not autocast:
            self._autocast = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in ("build", "compute_output_shape"):
            if name in cls.__dict__:
                setattr(cls, name, with_integer_shape(cls.__dict__[name]))

    def add_loss(self, losses: Tensors, inputs: Tensors = None) -> None:
        """Add a tensor to the model's loss; `inputs` are the tensors it depends on."""
        super().add_loss(losses, inputs=inputs)

    def add_metric(self, value: Tensor, name: str | None = None, aggregation: str = "mean") -> None:
        """Show the mean of a tensor over the batches of an epoch."""
        aggregated = {"aggregation": aggregation} if FLAVOUR == "tf_keras" else {}
        super().add_metric(value, name=name, **aggregated)


def serializable(item: Any) -> Any:
    """Class decorator: models that use this class load without `custom_objects`."""
    get_custom_objects()[item.__name__] = item
    return item


def operation(function):
    """Decorator of a function of symbolic tensors, which matters on Keras 3 alone."""
    return function


def build_child(layer, input_shape):
    """Build a layer inside another layer, so that the order of weights is the order of these calls."""
    with tf.name_scope(layer.name):  # otherwise two weights could get one name, which HDF5 refuses
        layer.build(tuple(input_shape))
    return layer


def first_rows(table, count):
    """table[:count]; count may be a tensor."""
    return table[:count]


def lora_weights(layer):
    """[]: layers of Keras 2 have no adapters."""
    return []


adapted_layers = lora_weights


def dtype_name(x):
    """Name of the dtype of a tensor, a variable or an array."""
    return tf.as_dtype(x.dtype).base_dtype.name


def weight_shape(weight):
    return tuple(weight.shape.as_list())


@contextmanager
def deferred_initialization():
    """Context without an effect: TensorFlow draws initial values quickly."""
    yield


def get_available_gpus() -> list[str]:
    """Names of the GPUs, such as "/device:GPU:0"."""
    return [device.name for device in tf.config.experimental.list_logical_devices("GPU")]


device_scope = tf.device


def distribute(model, devices):
    """None: on Keras 2 parallel.py splits the batches by a layer."""
    return None


def layout_map_of_process():
    """None: on Keras 2 no weight is split."""
    return None


def remat(call, layer, inputs):
    """call(layer, inputs), whose intermediate results the backward pass computes again.

    A layer with dropout is called without recomputation: the second computation would draw another mask.
    """
    if getattr(layer, "dropout", None) is not None:
        return call(layer, inputs)
    # copies, because the gradient of a tensor that is two of the inputs would be counted twice
    tensors = [tf.identity(tensor) for tensor in tf.nest.flatten(inputs)]

    @tf.custom_gradient
    def forward(*tensors):
        outputs = call(layer, tf.nest.pack_sequence_as(inputs, tensors))

        def backward(*gradients, **keywords):
            # otherwise layers in this call would search the graph up to Input, which never ends in TensorFlow 1.15
            for tensor in tensors:
                tensor._keras_history_checked = True
            sources = list(tensors) + list(keywords.get("variables") or [])
            with tf.GradientTape() as tape:
                tape.watch([source for source in sources if source.dtype.is_floating])
                with tf.control_dependencies(gradients):  # not merged with the forward pass
                    again = call(layer, tf.nest.pack_sequence_as(inputs, tensors))
            found = tape.gradient(again, sources, output_gradients=list(gradients))
            return found[: len(tensors)], found[len(tensors) :]

        return outputs, backward

    return forward(*tensors)


def inputs_of_call(layer):
    """Symbolic inputs of a layer's first call; empty without a call."""
    tensors = layer._inbound_nodes[0].input_tensors if layer._inbound_nodes else []
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def layer_of(tensor):
    """The layer that created a symbolic tensor."""
    return tensor._keras_history[0]
