"""Functions on PyTorch as the list of operations that they came to.

It costs no call of a Keras layer, which on PyTorch takes longer than what the layer computes for one token. Python's
own decisions are those of the first call, as in a compiled function of any framework.
"""

import operator

import keras
import torch
from torch import fx
from torch.utils._python_dispatch import TorchDispatchMode

tree = keras.tree


class Recorded:
    """`function(*arguments)` of nested tensors, recorded for each set of shapes. Call it with gradients off."""

    def __init__(self, function):
        self.function = function
        self.graphs = {}  # {shapes and dtypes of the inputs: (graph, structure of the outputs)}

    def __call__(self, *arguments):
        arguments = tree.map_structure(keras.ops.convert_to_tensor, arguments)
        inputs = tree.flatten(arguments)
        key = tuple((tuple(x.shape), x.dtype) for x in inputs)
        if key in self.graphs:
            graph, structure = self.graphs[key]
            return tree.pack_sequence_as(structure, graph(*inputs))
        with Recorder(inputs) as recorder:
            outputs = self.function(*arguments)
        graph = recorder.finish(tree.flatten(outputs))
        self.graphs[key] = graph, tree.map_structure(lambda x: 0, outputs)
        return outputs


class Recorder(TorchDispatchMode):
    """Notes what PyTorch computes while it is entered. Tensors that come from nowhere else are constants."""

    def __init__(self, inputs):
        super().__init__()
        self.graph = fx.Graph()
        self.constants = torch.nn.Module()
        self.nodes = {}  # {id of a tensor: node}
        self.kept = []  # so that no id is given twice
        for number, x in enumerate(inputs):
            self.learn(x, self.graph.placeholder("x%d" % number))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if torch.Tag.data_dependent_output in func.tags:
            raise RuntimeError("%s: a value of a tensor decides what is computed; it cannot be recorded" % func)
        outputs = func(*args, **(kwargs or {}))
        node = self.graph.call_function(func, *fx.node.map_aggregate((args, kwargs or {}), self.node_of))
        if isinstance(outputs, (tuple, list)):
            for number, output in enumerate(outputs):
                self.learn(output, self.graph.call_function(operator.getitem, (node, number)))
        else:
            self.learn(outputs, node)
        return outputs

    def learn(self, x, node):
        self.nodes[id(x)] = node
        self.kept.append(x)

    def node_of(self, x):
        """The node of a tensor; anything else as it is."""
        if not isinstance(x, torch.Tensor):
            return x
        if id(x) not in self.nodes:
            name = "constant%d" % len(self.kept)
            self.constants.register_buffer(name, x.detach(), persistent=False)
            self.learn(x, self.graph.get_attr(name))
        return self.nodes[id(x)]

    def finish(self, outputs):
        """The function of the inputs that gives these outputs."""
        self.graph.output([self.node_of(x) for x in outputs])
        self.graph.eliminate_dead_code()
        return fx.GraphModule(self.constants, self.graph)
