"""Calls of models without the overhead of Keras's layers: compiled `model(x)` on request, and fast `predict`.

`model.compile_calls = True` compiles the direct calls of a model, and `keras.Model.compile_calls = True` the calls of
all models. Operator by operator, a direct call takes up to twice as long on JAX and TensorFlow. It is compiled once for
each shape of the inputs. Each call passes the weights, so that changed weights count. The outputs keep their masks.
On PyTorch, `predict` replays the graph of the first batch, as other backends run compiled code.
`BERT4KERAS3_ACCELERATE=0` restores Keras's own `predict`.
"""

from contextvars import ContextVar
from types import SimpleNamespace

import keras
import numpy as np

from bert4keras3.backend.accelerate import accelerates
from bert4keras3.backend.accelerate.tracing import NotTraceable
from bert4keras3.backend.extensions import extends
from bert4keras3.backend.keras3.private import get_keras_mask, inner_layers, is_in_call, set_keras_mask

Model = keras.Model
framework = keras.config.backend()

# Whether the running call comes from `predict` on PyTorch.
predicting: ContextVar = ContextVar("predicting", default=False)

if not hasattr(Model, "compile_calls"):
    Model.compile_calls = False


@extends(Model, "__call__")
def call(original, self, *args, **kwargs):
    outputs = call_compiled(self, args[0]) if may_compile(self, args, kwargs) else None
    return original(self, *args, **kwargs) if outputs is None else outputs


def call_compiled(model, inputs):
    """The outputs of a compiled call; None if the call cannot be traced, or adds losses to the model."""
    variables = model.variables
    compiled = getattr(model, "compiled_call", None)
    # A layer that was added or replaced since has other variables, which the compiled function does not know.
    if compiled is None or [id(one) for one in compiled.variables] != [id(one) for one in variables]:
        compiled = model.compiled_call = compiled_call(model, variables)
    if compiled.adds_losses:
        return None
    # tf.function reads variables itself, so they are no arguments.
    values = [] if framework == "tensorflow" else [one.value for one in variables]
    try:
        outputs, masks, changed = compiled.forward(values, inputs)
    except NotTraceable:  # for example an LSTM with a mask
        model.calls_are_alike = False
        return None
    if compiled.adds_losses:  # known after the first call
        return None
    for index, value in changed.items():
        variables[index].assign(value)
    for output, mask in zip(keras.tree.flatten(outputs), masks):
        if mask is not None:
            set_keras_mask(output, mask)
    return outputs


def may_compile(model, args, kwargs):
    """Whether this is a call for inference of a functional model with arrays, outside of other calls."""
    return (
        (model.compile_calls or predicting.get())
        and framework in ("jax", "tensorflow", "torch")
        and (framework != "torch" or may_trace(model))
        and not model.run_eagerly
        and hasattr(model, "operations")
        and len(args) == 1
        and all(name in ("training", "mask") for name in kwargs)
        and all(value is None or value is False for value in kwargs.values())
        and all(holds_numbers(x) for x in keras.tree.flatten(args[0]))
        and not is_in_call()
        and keras.distribution.distribution() is None
    )


def holds_numbers(x):
    """Whether x has values now, because it is neither symbolic nor traced."""
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "biuf"
    if framework == "jax":
        import jax

        return isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer)
    if framework == "torch":
        import torch

        return type(x) is torch.Tensor and not x.is_meta
    import tensorflow as tf

    return tf.is_tensor(x) and hasattr(x, "numpy") and not isinstance(x, tf.Variable)


def may_trace(model):
    """Whether PyTorch computes no gradient, and each call of the model runs the same operators."""
    import torch

    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    if not hasattr(model, "calls_are_alike"):
        model.calls_are_alike = not any(map(is_of_a_user, components_of(model)))
    return model.calls_are_alike


def components_of(model):
    """The model, and all layers and operations inside it."""
    for component in [model, *inner_layers(model)]:
        yield component
        yield from getattr(component, "operations", ())


def is_of_a_user(component):
    """Whether a user wrote it. Such code may draw numbers by NumPy, or branch on the values of a tensor."""
    package = type(component).__module__.split(".")[0]
    return isinstance(component, keras.layers.Lambda) or package not in ("keras", "bert4keras3")


def compiled_call(model, variables):
    """Compile `forward`: (values of the variables, inputs) → outputs, their masks, {index of a variable: new value}.

    On TensorFlow, whose functions read the variables, the values are an empty list. `adds_losses` is right after the
    first call.
    """

    def forward(values, inputs):
        scope = keras.StatelessScope(list(zip(variables, values)), collect_losses=True)
        before = [scope.get_current_value(variable) for variable in variables]
        with scope:
            outputs = keras.layers.Layer.__call__(model, inputs, training=False)
        compiled.adds_losses = bool(scope.losses)
        after = [scope.get_current_value(variable) for variable in variables]
        changed = {i: new for i, (old, new) in enumerate(zip(before, after)) if new is not old}
        masks = [get_keras_mask(output) for output in keras.tree.flatten(outputs)]
        return outputs, masks, changed

    compiled = SimpleNamespace(variables=variables, adds_losses=False)
    if framework == "jax":
        import jax

        compiled.forward = jax.jit(forward)
    elif framework == "torch":
        from bert4keras3.backend.accelerate.torch_graph import TracedFunction

        compiled.forward = TracedFunction(forward)
    else:
        import tensorflow as tf

        compiled.forward = tf.function(forward, jit_compile=model.jit_compile, reduce_retracing=True)
    return compiled


if framework == "torch" and accelerates():

    @extends(Model, "predict_step")
    def predict_step(original, self, data):
        token = predicting.set(True)
        try:
            return original(self, data)
        finally:
            predicting.reset(token)


if framework == "tensorflow" and accelerates():

    @extends(Model, "predict")
    def predict(original, self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """One batch without a tf.data pipeline, which takes longer to set up than a short sequence to compute."""
        arrays = keras.tree.flatten(x)
        if steps is not None or callbacks or not is_one_batch(arrays, batch_size or 32):
            return original(self, x, batch_size, verbose, steps, callbacks)
        shown = keras.callbacks.CallbackList(
            add_progbar=verbose != 0, verbose=verbose, epochs=1, steps=1, model=self
        )
        shown.on_predict_begin()
        shown.on_predict_batch_begin(0)
        outputs = self.predict_on_batch(keras.tree.map_structure(as_batch, x))
        shown.on_predict_batch_end(0, {"outputs": outputs})
        shown.on_predict_end()
        return outputs


def is_one_batch(arrays, batch_size):
    """Whether these are arrays of numbers with equally many rows, no more than a batch has."""
    if not all(isinstance(one, np.ndarray) and one.ndim and one.dtype.kind in "biuf" for one in arrays):
        return False
    sizes = {len(one) for one in arrays}
    return len(sizes) == 1 and 0 < sizes.pop() <= batch_size


def as_batch(array):
    """Array → tensor, in the dtype that Keras gives it in a batch."""
    is_float = array.dtype.kind == "f"
    return keras.ops.convert_to_tensor(array, dtype=keras.config.floatx() if is_float else None)
