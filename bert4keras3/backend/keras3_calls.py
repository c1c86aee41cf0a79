"""Models that are called with numbers, `model(x)`, run compiled as in `predict`.

Operator by operator such a call takes up to twice as long on JAX and TensorFlow. It is compiled once for each shape of
the inputs. Weights are handed over at every call, so that changed ones count; masks of the outputs are kept. On PyTorch
the operations are recorded where no gradient is, which saves the calls of Keras's layers, in `predict` too.
"""

from types import SimpleNamespace

import keras
import numpy as np

# Nothing public tells whether a layer is being called, or gives a tensor's mask.
from keras.src.backend.common import global_state
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask


class CompiledCalls(keras.Model):
    """`compile_calls = False`, of a model or of the class, goes back to operator by operator; so does `run_eagerly`."""

    compile_calls = keras.config.backend() != "numpy"

    def __call__(self, *args, **kwargs):
        outputs = self.call_compiled(args[0]) if self.may_compile(args, kwargs) else None
        return super().__call__(*args, **kwargs) if outputs is None else outputs

    def call_compiled(self, inputs):
        """The outputs; None where the call adds losses, which the model then has of its last plain call."""
        variables = self.variables
        compiled = getattr(self, "compiled_call", None)
        if compiled is None or [id(one) for one in compiled.variables] != [id(one) for one in variables]:
            compiled = self.compiled_call = compiled_call(self, variables)
        if compiled.adds_losses:
            return None
        values = [] if keras.config.backend() == "tensorflow" else [one.value for one in variables]
        outputs, masks, changed = compiled.forward(values, inputs)
        if compiled.adds_losses:  # as the first call tells
            return None
        for index, value in changed.items():
            variables[index].assign(value)
        for output, mask in zip(keras.tree.flatten(outputs), masks):
            if mask is not None:
                set_keras_mask(output, mask)
        return outputs

    def may_compile(self, args, kwargs):
        """Whether this is a call for inference, of a functional model with arrays, and from no other layer's call."""
        return (
            self.compile_calls
            and (keras.config.backend() != "torch" or may_record(self))
            and not self.run_eagerly
            and hasattr(self, "operations")
            and len(args) == 1
            and all(name in ("training", "mask") for name in kwargs)
            and all(value is None or value is False for value in kwargs.values())
            and all(holds_numbers(x) for x in keras.tree.flatten(args[0]))
            and global_state.get_global_attribute("current_call_ctx") is None
            and keras.distribution.distribution() is None
        )


def holds_numbers(x):
    """Whether x is an array, and neither symbolic nor traced."""
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "biuf"
    if keras.config.backend() == "jax":
        import jax

        return isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer)
    if keras.config.backend() == "openvino":
        return False
    if keras.config.backend() == "torch":
        import torch

        return type(x) is torch.Tensor and not x.is_meta
    import tensorflow as tf

    return tf.is_tensor(x) and hasattr(x, "numpy") and not isinstance(x, tf.Variable)


def may_record(model):
    """Whether PyTorch records no gradient, and nothing that a call does may be another thing in the next call."""
    import torch

    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    if not hasattr(model, "calls_are_alike"):
        model.calls_are_alike = not any(map(is_of_a_user, parts_of(model)))
    return model.calls_are_alike


def parts_of(model):
    """The model, its layers and operations, and theirs."""
    for part in model._flatten_layers():
        yield part
        yield from getattr(part, "operations", ())


def is_of_a_user(part):
    """Whether it may do what it wants, such as to draw numbers by NumPy or to go by the values of a tensor."""
    package = type(part).__module__.split(".")[0]
    return isinstance(part, keras.layers.Lambda) or package not in ("keras", "bert4keras3")


def compiled_call(model, variables):
    """`forward`: (values of the variables, inputs) → outputs, their masks, {index: value} of what the call changed.

    values: none on TensorFlow, whose functions see the variables themselves. adds_losses: known after the first call.
    """

    def forward(values, inputs):
        scope = keras.StatelessScope(list(zip(variables, values)), collect_losses=True)
        before = [scope.get_current_value(variable) for variable in variables]
        with scope:
            outputs = keras.Model.__call__(model, inputs, training=False)
        compiled.adds_losses = bool(scope.losses)
        after = [scope.get_current_value(variable) for variable in variables]
        changed = {i: new for i, (old, new) in enumerate(zip(before, after)) if new is not old}
        masks = [get_keras_mask(output) for output in keras.tree.flatten(outputs)]
        return outputs, masks, changed

    compiled = SimpleNamespace(variables=variables, adds_losses=False)
    if keras.config.backend() == "jax":
        import jax

        compiled.forward = jax.jit(forward)
    elif keras.config.backend() == "torch":
        from bert4keras3.backend.keras3_recording import Recorded

        compiled.forward = Recorded(forward)
    else:
        import tensorflow as tf

        compiled.forward = tf.function(forward, jit_compile=model.jit_compile, reduce_retracing=True)
    return compiled
