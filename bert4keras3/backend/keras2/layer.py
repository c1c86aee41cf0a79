"""Keras of generation 2 on TensorFlow: keras 2.3.1 (to TensorFlow 2.2), or tf.keras (1.15 to 2.15)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from bert4keras3.backend.absent import not_supported
from bert4keras3.backend.accelerate.allocator import keep_memory_in_training
from bert4keras3.backend.flavour import FLAVOUR, Tensor, Tensors
from bert4keras3.backend.keras2 import ops  # noqa: F401
from bert4keras3.backend.keras2.files import extend_loading
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
foreach = parallel_class = not_supported(
    "bert4keras3.optimizers on Keras 2 are those of backend/keras2/optimizers.py"
)
Compiled = CompiledLoop = write_column = not_supported("compiled generation needs Keras 3")
inner_layers = own_weight = not_supported("compiled generation and int8 need Keras 3")
optimizers_module = "bert4keras3.backend.keras2.optimizers"


def require_keras_3(name, instead, compiles=False):
    """Raises ImportError for what is for Keras 3 alone. instead: what to do here."""
    found = (
        "tf.keras of TensorFlow " + tf.__version__ if FLAVOUR == "tf_keras" else "Keras " + keras.__version__
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
    """Every layer of Keras 2 has `get_output_at`."""


class Layer(keras.layers.Layer):  # type: ignore[name-defined]
    """Base of our layers, which pass masks on. Shapes arrive as tuples of int or None."""

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
        """Add to the model's loss; inputs: what it is computed from."""
        super().add_loss(losses, inputs=inputs)

    def add_metric(self, value: Tensor, name: str | None = None, aggregation: str = "mean") -> None:
        """Show the mean of a tensor over the batches of an epoch."""
        aggregated = {"aggregation": aggregation} if FLAVOUR == "tf_keras" else {}
        super().add_metric(value, name=name, **aggregated)


def serializable(item: Any) -> Any:
    """Class decorator: models that use this class load without `custom_objects`, under its own name."""
    get_custom_objects()[item.__name__] = item
    return item


def operation(function):
    """Decorator of a function of tensors that is called on those of a model; matters on Keras 3."""
    return function


def build_child(layer, input_shape):
    """Make the weights of a layer inside a layer now, so that their order is the order of these calls."""
    with tf.name_scope(layer.name):  # or weights of one layer would share a name, which HDF5 refuses
        layer.build(tuple(input_shape))
    return layer


def first_rows(table, count):
    """table[:count], where count may be a tensor."""
    return table[:count]


def dtype_name(x):
    """dtype of a tensor, a variable or an array as a string."""
    return tf.as_dtype(x.dtype).base_dtype.name


def weight_shape(weight):
    return tuple(weight.shape.as_list())


@contextmanager
def deferred_initialization():
    """Nothing to do: TensorFlow draws initial values quickly."""
    yield


def get_available_gpus() -> list[str]:
    """Names of the GPUs, such as "/device:GPU:0"."""
    return [device.name for device in tf.config.experimental.list_logical_devices("GPU")]


device_scope = tf.device


def distribute(model, devices):
    """None: here a layer has to spread the batches, see parallel.py."""
    return None


def remat(call, layer, inputs):
    """call(layer, inputs), computed a second time for the gradient instead of kept.

    A layer that drops out is computed as usual: it would draw anew.
    """
    if getattr(layer, "dropout", None) is not None:
        return call(layer, inputs)
    # copies, as the gradient of a tensor that is an input twice would be counted twice
    tensors = [tf.identity(tensor) for tensor in tf.nest.flatten(inputs)]

    @tf.custom_gradient
    def forward(*tensors):
        outputs = call(layer, tf.nest.pack_sequence_as(inputs, tensors))

        def backward(*gradients, **keywords):
            # or layers in this call would trace them back to Input, which in TF 1.15 never ends
            for tensor in tensors:
                tensor._keras_history_checked = True
            sources = list(tensors) + list(keywords.get("variables") or [])
            with tf.GradientTape() as tape:
                tape.watch([source for source in sources if source.dtype.is_floating])
                with tf.control_dependencies(gradients):  # after the forward pass, and not merged with it
                    again = call(layer, tf.nest.pack_sequence_as(inputs, tensors))
            found = tape.gradient(again, sources, output_gradients=list(gradients))
            return found[: len(tensors)], found[len(tensors) :]

        return outputs, backward

    return forward(*tensors)


def inputs_of_call(layer):
    """Symbolic inputs of the first call of a layer; empty without one."""
    tensors = layer._inbound_nodes[0].input_tensors if layer._inbound_nodes else []
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def layer_of(tensor):
    """The layer that made a symbolic tensor."""
    return tensor._keras_history[0]
