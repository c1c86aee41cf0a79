"""Functions of tensors, compiled: by XLA on JAX, as a graph on TensorFlow, as a captured graph on PyTorch.

A captured graph has no loops, so PyTorch captures the body of a loop, and Python repeats it.
"""

import functools
import threading

import keras

from bert4keras3.backend.accelerate.quantized import is_int8
from bert4keras3.backend.accelerate.tracing import shapes
from bert4keras3.backend.keras3 import private

framework = keras.config.backend()
tree = keras.tree
tracing = threading.RLock()  # a traced function may keep its state in Python while it runs


class Compiled:
    """`function(state, *others)` of nested tensors, compiled for each set of shapes; weights stay shared.

    `compilations` counts how often the function was compiled.

    Args:
        function: the function.
        model: the model with the weights; each call reads their present values.
        in_place: the outputs have the sizes of `state` and may take its memory, so that `state` is lost.
        xla: compile by XLA on TensorFlow too, which takes a second more. A model with int8 weights always needs XLA:
            TensorFlow's own int8 matmuls take 3 times as long as float32.
    """

    def __init__(self, function, model, in_place=False, xla=False):
        self.function = function
        self.model = model
        self.in_place = in_place
        self.xla = xla
        self.compilations = 0
        # () → the function with the present weights
        self.with_weights = {"jax": self.on_jax, "tensorflow": self.on_tensorflow, "torch": self.on_torch}[
            framework
        ]()

    def __call__(self, state, *others):
        return self.with_weights()(state, *others)

    def trace(self, values, *arguments):
        """Call the function while the model's weights have these values; None for their present values."""
        self.compilations += 1
        with tracing:
            if values is None:
                return self.function(*arguments)
            with keras.StatelessScope(state_mapping=list(zip(self.model.variables, values))):
                return self.function(*arguments)

    def values(self):
        return [variable.value for variable in self.model.variables]

    def on_jax(self):
        import jax

        compiled = jax.jit(self.trace, donate_argnums=1 if self.in_place else ())
        return lambda: functools.partial(compiled, self.values())

    def on_tensorflow(self):
        import tensorflow as tf

        by_xla = self.xla or any(map(is_int8, private.inner_layers(self.model)))
        compiled = tf.function(
            lambda *arguments: self.trace(None, *arguments),
            autograph=False,
            jit_compile=by_xla and tf.test.is_built_with_xla(),
        )
        graphs = {}  # one for each set of shapes, without TensorFlow's warning about several

        def run(*arguments):
            arguments = tensors(arguments)
            key = shapes(arguments)
            if key not in graphs:
                graphs[key] = compiled.get_concrete_function(*arguments)
            return graphs[key](*arguments)

        return lambda: run

    def on_torch(self):
        import torch

        from bert4keras3.backend.accelerate.torch_graph import TracedFunction

        traced = TracedFunction(self.trace)
        without_gradients = torch.inference_mode()
        return lambda: without_gradients(traced.with_weights(self.values()))


class CompiledLoop:
    """`while should_continue(state): state = step(state)`, compiled as a whole; on PyTorch the body alone.

    The loop carries the list of the tensors of the state: PyTorch takes long to flatten a nest for each token.
    """

    def __init__(self, should_continue, step, model):
        self.should_continue = should_continue
        self.step = step
        self.structure = None  # of the state
        body = self.once if framework == "torch" else self.loop
        self.compiled = Compiled(body, model, in_place=True, xla=True)

    @property
    def compilations(self):
        return self.compiled.compilations

    def should_continue_with(self, leaves):
        return self.should_continue(tree.pack_sequence_as(self.structure, leaves))

    def after(self, leaves):
        return tree.flatten(self.step(tree.pack_sequence_as(self.structure, leaves)))

    def loop(self, leaves):
        return keras.ops.while_loop(
            lambda *leaves: self.should_continue_with(leaves),
            lambda *leaves: tuple(self.after(leaves)),
            tuple(leaves),
        )

    def once(self, leaves):
        leaves = self.after(leaves)
        return leaves, self.should_continue_with(leaves)

    def __call__(self, state):
        leaves = tree.flatten(state)
        self.structure = tree.map_structure(lambda leaf: 0, state)
        if framework != "torch":
            leaves = self.compiled(leaves)
        elif self.should_continue(state):
            once, again = self.compiled.with_weights(), True
            while again:
                leaves, again = once(leaves)
        return tree.pack_sequence_as(state, leaves)


def write_column(buffer, column, values, axis=1):
    """`buffer` with `values`, of length 1 along the axis, in this column. The memory of `buffer` may be reused."""
    if framework == "torch":  # on PyTorch slice_update copies the buffer, by forty operators
        return buffer.index_copy_(axis, column.reshape(1).long(), values)
    place = [0] * len(buffer.shape)
    place[axis] = column
    return keras.ops.slice_update(buffer, place, values)


def tensors(nested):
    return tree.map_structure(keras.ops.convert_to_tensor, nested)
