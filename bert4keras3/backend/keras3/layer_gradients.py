"""`K.gradients` in the `call` of a layer while a model predicts, as for integrated gradients.

A layer differentiates what it computes with respect to one of its inputs. TensorFlow takes the gradient from the graph,
PyTorch from autograd. On JAX, the part of the model from the input to the layer runs again as a function of the input.
"""

import functools
import weakref
from contextvars import ContextVar
from typing import Any

import keras

from bert4keras3.backend.extensions import extends
from bert4keras3.backend.keras3.private import compute_between, get_keras_mask, nodes_of, set_keras_mask

framework = keras.config.backend()
ADVICE = (
    "K.gradients: on Keras 3 it works in the call of a layer while a model predicts. For training take "
    "bert4keras3.gradients, which has adversarial training and a gradient penalty, or write a `train_step`."
)

# {model: its layers whose `call` uses `gradients`}
asking: Any = weakref.WeakKeyDictionary()

# On JAX: the predicting model and its inputs; the called layer and its arguments; and a list that receives the first
# argument of `gradients` in the second run.
predicting: ContextVar = ContextVar("predicting_model", default=None)
called: ContextVar = ContextVar("called_layer", default=None)
captures: ContextVar = ContextVar("captures", default=None)


class Captured(Exception):
    """Ends the second call of a layer as soon as the tensor to differentiate is known."""


def gradients(loss, variables):
    """Gradients of the sum of a tensor with respect to inputs of the called layer.

    Args:
        loss: a tensor that the layer computes from its inputs.
        variables: one input of the layer, or a list of inputs.

    Returns:
        A list of tensors with the shapes of the inputs.

    Raises:
        NotImplementedError: the framework has not recorded how the loss was computed.
    """
    variables = variables if isinstance(variables, (list, tuple)) else [variables]
    if framework == "tensorflow":
        return gradients_in_graph(loss, variables)
    if framework == "torch":
        return gradients_on_tape(loss, variables)
    if captures.get() is not None:
        captures.get().append(loss)
        raise Captured
    if framework != "jax" or called.get() is None or predicting.get() is None:
        raise NotImplementedError(ADVICE)
    return [gradient_by_second_run(variable) for variable in variables]


def gradients_in_graph(loss, variables):
    import tensorflow as tf

    if tf.executing_eagerly():
        raise NotImplementedError(ADVICE)
    return tf.gradients(loss, [getattr(variable, "value", variable) for variable in variables])


def gradients_on_tape(loss, variables):
    import torch

    if not loss.requires_grad:
        raise NotImplementedError(ADVICE)
    sources = [getattr(variable, "value", variable) for variable in variables]
    return list(torch.autograd.grad(loss.sum(), sources, create_graph=True))


def gradient_by_second_run(variable):
    import jax

    (model, originals), (layer, args, kwargs) = predicting.get(), called.get()
    inputs = keras.tree.flatten(args)
    places = [place for place, one in enumerate(inputs) if one is variable]
    if not places:
        raise NotImplementedError(f"{ADVICE} {layer.name} has gradients with respect to its inputs alone.")
    node = next(node for node in nodes_of(model) if node.operation is layer)
    known = dict(zip(map(id, model.inputs), originals))

    def loss_of(value):
        if get_keras_mask(variable) is not None:
            set_keras_mask(value, get_keras_mask(variable))
        known[id(node.input_tensors[places[0]])] = value
        captured: list = []
        token = captures.set(captured)
        try:
            recomputed = compute_between(model, known, node.input_tensors)
            layer.call(*keras.tree.pack_sequence_as(args, recomputed), **kwargs)
        except Captured:
            return keras.ops.sum(captured[0])
        finally:
            captures.reset(token)

    return jax.grad(loss_of)(variable)


def asking_layers(model):
    """The layers of a model whose `call` names `gradients`."""
    if model not in asking:
        asking[model] = [layer for layer in model.layers if asks(type(layer))]
        for layer in asking[model]:
            note_calls(type(layer))
    return asking[model]


def asks(kind):
    package = kind.__module__.split(".")[0]
    code = getattr(kind.call, "__code__", None)
    return package not in ("keras", "bert4keras3") and code is not None and "gradients" in code.co_names


def note_calls(kind):
    """Wrap `call` of a class of layers, so that `gradients` knows the called layer."""
    original = kind.call

    @functools.wraps(original)
    def call(self, *args, **kwargs):
        token = called.set((self, args, kwargs))
        try:
            return original(self, *args, **kwargs)
        finally:
            called.reset(token)

    kind.call = call


if framework == "jax":

    @extends(keras.Model, "predict_step")
    def predict_step_on_jax(original, self, state, data):
        if not asking_layers(self):
            return original(self, state, data)
        token = predicting.set((self, keras.tree.flatten(keras.utils.unpack_x_y_sample_weight(data)[0])))
        try:
            return original(self, state, data)
        finally:
            predicting.reset(token)


if framework == "torch":

    @extends(keras.Model, "predict_step")
    def predict_step_on_torch(original, self, data):
        if not asking_layers(self):
            return original(self, data)
        import torch

        with torch.enable_grad():
            return keras.tree.map_structure(lambda x: x.detach(), original(self, data))
