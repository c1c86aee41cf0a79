"""Functions of tensors, compiled: XLA on JAX, a graph on TensorFlow, a recorded list of operations on PyTorch.

PyTorch has no loops in such a list, so there only the body of a loop is recorded, and Python goes round.
"""

import functools
import threading

import keras

from bert4keras3.backend.accelerate.quantized import is_int8

framework = keras.config.backend()
tree = keras.tree
tracing = threading.RLock()  # what is traced may keep its state in Python while it runs


class NotRecordable(RuntimeError):
    """What runs goes by the value of a tensor, so that PyTorch's operators are not the same in each call."""


class Compiled:
    """`function(state, *others)` of nested tensors, compiled for each set of shapes; weights stay shared.

    model: whose weights the function reads; each call takes those of the moment. in_place: what comes out has the
    sizes of `state` and may take its memory, so that `state` is lost. xla: compile by XLA on TensorFlow too, which
    takes a second more; int8 always is, as TensorFlow's own products of it take 3 times as long as float32's.
    `compilations` counts how often the function was compiled.
    """

    def __init__(self, function, model, in_place=False, xla=False):
        self.function = function
        self.model = model
        self.in_place = in_place
        self.xla = xla
        self.compilations = 0
        # () → the function with the weights of this moment
        self.with_weights = {"jax": self.on_jax, "tensorflow": self.on_tensorflow, "torch": self.on_torch}[
            framework
        ]()

    def __call__(self, state, *others):
        return self.with_weights()(state, *others)

    def trace(self, values, *arguments):
        """The function, in which the model's weights have these values, or their own."""
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

        by_xla = self.xla or any(map(is_int8, self.model._flatten_layers()))
        compiled = tf.function(
            lambda *arguments: self.trace(None, *arguments),
            autograph=False,
            jit_compile=by_xla and tf.test.is_built_with_xla(),
        )
        made = {}  # one graph for each set of shapes, without the warning that there are several

        def run(*arguments):
            arguments = tensors(arguments)
            key = shapes(arguments)
            if key not in made:
                made[key] = compiled.get_concrete_function(*arguments)
            return made[key](*arguments)

        return lambda: run

    def on_torch(self):
        import torch

        from bert4keras3.backend.accelerate.torch_graph import Recorded

        recorded = Recorded(self.trace)
        without_gradients = torch.inference_mode()
        return lambda: without_gradients(recorded.with_weights(self.values()))


class CompiledLoop:
    """`while goes_on(state): state = step(state)`, compiled as a whole, or what is in the loop where there are none.

    The state goes round as the list of its tensors: on PyTorch it takes long to take a nest apart for each token.
    """

    def __init__(self, goes_on, step, model):
        self.goes_on = goes_on
        self.step = step
        self.structure = None  # of the state
        body = self.once if framework == "torch" else self.loop
        self.compiled = Compiled(body, model, in_place=True, xla=True)

    @property
    def compilations(self):
        return self.compiled.compilations

    def goes_on_with(self, leaves):
        return self.goes_on(tree.pack_sequence_as(self.structure, leaves))

    def after(self, leaves):
        return tree.flatten(self.step(tree.pack_sequence_as(self.structure, leaves)))

    def loop(self, leaves):
        return keras.ops.while_loop(
            lambda *leaves: self.goes_on_with(leaves),
            lambda *leaves: tuple(self.after(leaves)),
            tuple(leaves),
        )

    def once(self, leaves):
        leaves = self.after(leaves)
        return leaves, self.goes_on_with(leaves)

    def __call__(self, state):
        leaves = tree.flatten(state)
        self.structure = tree.map_structure(lambda leaf: 0, state)
        if framework != "torch":
            leaves = self.compiled(leaves)
        elif self.goes_on(state):
            once, again = self.compiled.with_weights(), True
            while again:
                leaves, again = once(leaves)
        return tree.pack_sequence_as(state, leaves)


def write_column(buffer, column, values, axis=1):
    """`buffer` with `values`, of length 1 along the axis, in a column there. The memory of `buffer` may be used."""
    if framework == "torch":  # its slice_update copies, and takes forty operations
        return buffer.index_copy_(axis, column.reshape(1).long(), values)
    place = [0] * len(buffer.shape)
    place[axis] = column
    return keras.ops.slice_update(buffer, place, values)


def tensors(nested):
    return tree.map_structure(keras.ops.convert_to_tensor, nested)


def shapes(nested):
    return tuple(map(shape, tree.flatten(nested)))


def shape(x):
    return tuple(x.shape), x.dtype
