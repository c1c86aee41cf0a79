"""Functions on PyTorch as the list of operations that they came to.

It costs no call of a Keras layer, which on PyTorch takes longer than what the layer computes for one token. Python's
own decisions are those of the first call, as in a compiled function of any framework.
"""

import operator
from contextvars import ContextVar

import keras
import torch
from torch import fx
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils.weak import WeakTensorKeyDictionary

from bert4keras3.backend.accelerate.compile import NotRecordable, shape, shapes
from bert4keras3.backend.accelerate.torch_cse import eliminate_common_subexpressions

tree = keras.tree
COMPUTED = (torch.Tensor, torch.ScriptObject)  # the last: weights in a library's own layout
recording: ContextVar = ContextVar("recording", default=None)  # the innermost Recorder of this thread


def derived(make):
    """make(), of what is made of weights and kept: what is being recorded makes it at each call, as they may change."""
    value = make()
    recorder = recording.get()
    if recorder is not None:
        recorder.add_derived(value, make)
    return value


class Recorded:
    """`function(weights, *inputs)` of tensors, the inputs nested, recorded for each set of shapes.

    Call it with gradients off.
    """

    def __init__(self, function):
        self.function = function
        # {shapes and dtypes of weights and inputs: (graph, makers of further inputs, structure of the outputs)}
        self.graphs = {}

    def __call__(self, weights, *inputs):
        return self.with_weights(weights)(*inputs)

    def with_weights(self, weights):
        """The function of the inputs alone, for as long as the weights stay as they are: they are looked at once."""
        shapes_of_weights = shapes(weights)
        made = {}  # {shapes: what is made of the weights}

        def call(*inputs):
            leaves = [as_tensor(x) for x in tree.flatten(inputs)]
            key = shapes_of_weights, tuple(map(shape, leaves))
            if key not in self.graphs:
                return self.record(key, weights, tree.pack_sequence_as(inputs, leaves))
            graph, makers, structure = self.graphs[key]
            if key not in made:
                made[key] = [make() for make in makers]
            return tree.pack_sequence_as(structure, graph(*weights, *leaves, *made[key]))

        return call

    def record(self, key, weights, inputs):
        recorder = Recorder([*weights, *tree.flatten(inputs)])
        token = recording.set(recorder)
        try:
            with recorder:
                outputs = self.function(weights, *inputs)
        finally:
            recording.reset(token)
        with _disable_current_modes():  # or one that records what this is part of would see it
            graph = recorder.finish(tree.flatten(outputs))
        self.graphs[key] = graph, recorder.makers, tree.map_structure(lambda x: 0, outputs)
        return outputs


class Recorder(TorchDispatchMode):
    """Notes what PyTorch computes while it is entered. Tensors that come from nowhere else are constants."""

    def __init__(self, inputs):
        super().__init__()
        self.graph = fx.Graph()
        self.constants = torch.nn.Module()
        # {tensor: node}; weak, so that what is no longer needed may go while it records
        self.nodes = WeakTensorKeyDictionary()
        self.objects = {}  # {hash: node}: Python has a new object for a ScriptObject each time, with the same hash
        self.makers = []
        for number, x in enumerate(inputs):
            self.last_input = self.graph.placeholder("x%d" % number)
            self.learn(x, self.last_input)

    def add_derived(self, value, make):
        """One more input, which make() gives."""
        known = self.known(value)
        if known is not None and known.op == "placeholder":
            return
        with self.graph.inserting_after(self.last_input):
            self.last_input = self.graph.placeholder("derived%d" % len(self.makers))
        self.learn(value, self.last_input)
        self.makers.append(make)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if torch.Tag.data_dependent_output in func.tags:
            raise NotRecordable(
                f"{func}: a value of a tensor decides what is computed; it cannot be recorded"
            )
        outputs = func(*args, **(kwargs or {}))
        if args and outputs is args[0] and not func._schema.is_mutable:
            return outputs  # Keras converts each tensor to the dtype and device that it has: half of what it calls
        node = self.graph.call_function(func, *fx.node.map_aggregate((args, kwargs or {}), self.node_of))
        if isinstance(outputs, (tuple, list)):
            for number, output in enumerate(outputs):
                self.learn(output, self.graph.call_function(operator.getitem, (node, number)))
        else:
            self.learn(outputs, node)
        return outputs

    def learn(self, x, node):
        if isinstance(x, torch.ScriptObject):
            self.objects[hash(x)] = node
        elif isinstance(x, torch.Tensor):
            self.nodes[x] = node

    def known(self, x):
        return self.objects.get(hash(x)) if isinstance(x, torch.ScriptObject) else self.nodes.get(x)

    def node_of(self, x):
        """The node of a tensor, or of what is made of weights; anything else as it is."""
        if not isinstance(x, COMPUTED):
            return x
        node = self.known(x)
        if node is None:
            name = "constant%d" % len(self.graph.nodes)
            self.constants.register_buffer(name, x.detach(), persistent=False)
            node = self.graph.get_attr(name)
            self.learn(x, node)
        return node

    def finish(self, outputs):
        """The function of the inputs that gives these outputs."""
        self.graph.output([self.node_of(x) for x in outputs])
        self.graph.eliminate_dead_code()
        eliminate_common_subexpressions(self.graph, self.constants)
        return fx.GraphModule(self.constants, self.graph)


def as_tensor(x):
    """Keras's own asks a tensor for its device and dtype several times, which takes long for one token."""
    return x if isinstance(x, torch.Tensor) else keras.ops.convert_to_tensor(x)
