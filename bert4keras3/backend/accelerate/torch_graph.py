"""Functions on PyTorch as a graph of the operators that ran: graph capture without calls of Keras layers.

A call of a Keras layer on PyTorch takes longer than its matmul for one token. Branches of Python code are fixed by the
first call, as in every traced function.
"""

import operator
from contextvars import ContextVar

import keras
import torch
from torch import fx
from torch.utils.weak import WeakTensorKeyDictionary

from bert4keras3.backend.accelerate.tracing import NotTraceable, shape, shapes
from bert4keras3.backend.keras3 import private

tree = keras.tree
COMPUTED = (torch.Tensor, torch.ScriptObject)  # a ScriptObject is a weight in a library's own layout
tracing: ContextVar = ContextVar("tracing", default=None)  # the innermost Tracer of this thread


def lifted(compute):
    """compute(), which depends on weights alone: a traced function computes it again once weights have changed."""
    value = compute()
    tracer = tracing.get()
    if tracer is not None:
        tracer.add_lifted(value, compute)
    return value


class TracedFunction:
    """`function(weights, *inputs)` of tensors, traced for each set of shapes. The inputs are nested.

    Call it without gradients.
    """

    def __init__(self, function):
        self.function = function
        # {shapes and dtypes of weights and inputs: (graph, functions of lifted inputs, structure of the outputs)}
        self.graphs = {}

    def __call__(self, weights, *inputs):
        return self.with_weights(weights)(*inputs)

    def with_weights(self, weights):
        """The function of the inputs alone, for weights that do not change meanwhile."""
        shapes_of_weights = shapes(weights)
        lifted_values = {}  # {shapes: what was computed from the weights}

        def call(*inputs):
            leaves = [as_tensor(x) for x in tree.flatten(inputs)]
            key = shapes_of_weights, tuple(map(shape, leaves))
            if key not in self.graphs:
                return self.trace(key, weights, tree.pack_sequence_as(inputs, leaves))
            graph, functions, structure = self.graphs[key]
            if key not in lifted_values:
                lifted_values[key] = [compute() for compute in functions]
            return tree.pack_sequence_as(structure, graph(*weights, *leaves, *lifted_values[key]))

        return call

    def trace(self, key, weights, inputs):
        tracer = Tracer([*weights, *tree.flatten(inputs)])
        token = tracing.set(tracer)
        try:
            with tracer:
                outputs = self.function(weights, *inputs)
        finally:
            tracing.reset(token)
        with private.no_dispatch_modes():  # an outer tracer would trace this
            graph = tracer.finish(tree.flatten(outputs))
        self.graphs[key] = graph, tracer.functions, tree.map_structure(lambda x: 0, outputs)
        return outputs


class Tracer(private.DispatchMode):
    """Captures the graph of what PyTorch computes while it is entered. A tensor of unknown origin is a constant."""

    def __init__(self, inputs):
        super().__init__()
        self.graph = fx.Graph()
        self.constants = torch.nn.Module()
        # {tensor: node}; weak, so that unused tensors free their memory while tracing
        self.nodes = WeakTensorKeyDictionary()
        self.objects = {}  # {hash: node}: Python has a new object for a ScriptObject each time, with the same hash
        self.functions = []
        for number, x in enumerate(inputs):
            self.last_input = self.graph.placeholder(f"x{number}")
            self.learn(x, self.last_input)

    def add_lifted(self, value, compute):
        """Add an input to the graph, whose value is compute()."""
        known = self.known(value)
        if known is not None and known.op == "placeholder":
            return
        with self.graph.inserting_after(self.last_input):
            self.last_input = self.graph.placeholder(f"lifted{len(self.functions)}")
        self.learn(value, self.last_input)
        self.functions.append(compute)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if torch.Tag.data_dependent_output in func.tags:
            raise NotTraceable(
                f"{func}: a tensor's value decides which operators run, so the call cannot be traced"
            )
        outputs = func(*args, **(kwargs or {}))
        if args and outputs is args[0] and not private.schema_of(func).is_mutable:
            return outputs  # half of Keras's operators convert a tensor to the dtype and device that it has
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
        """The node of a tensor or of a packed weight; any other object unchanged."""
        if not isinstance(x, COMPUTED):
            return x
        node = self.known(x)
        if node is None:
            name = f"constant{len(self.graph.nodes)}"
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
    """Convert to a tensor. Keras's own conversion of a tensor takes long for one token."""
    return x if isinstance(x, torch.Tensor) else keras.ops.convert_to_tensor(x)


def eliminate_common_subexpressions(graph, constants):
    """Common-subexpression elimination: each layer computes the same mask, but once is enough.

    A node that shares memory with a written node stays. Outputs stay too, because their receiver may write to them.
    """
    bases = {}  # {node: nodes whose memory it may share}
    written = set()
    for node in graph.nodes:
        shared, changed = memory(node)
        bases[node] = {node}.union(*(bases[other] for other in shared))
        written.update(*(bases[other] for other in changed))
    given = set().union(*(bases[node] for node in graph.output_node().all_input_nodes))
    first = {}
    for node in graph.nodes:
        read = set().union(*(bases[other] for other in node.all_input_nodes))
        apart = read & written or bases[node] & (written | given)
        earlier = node if apart else first.setdefault(value_key(node, constants), node)
        if earlier is not node:
            node.replace_all_uses_with(earlier)
            graph.erase_node(node)


def value_key(node, constants):
    """A key that nodes with equal values share."""
    is_random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
    if node.op == "call_function" and not is_random:
        return node.target, repr(node.args), repr(node.kwargs)
    if node.op == "get_attr":
        constant = getattr(constants, node.target)
        if constant.numel() == 1:
            return constant.dtype, constant.shape, repr(constant.item())
    return node


def memory(node):
    """The nodes whose memory a node's outputs may share, and the nodes whose memory it writes to."""
    schema = private.schema_of(node.target)
    if schema is None:  # an input, or an element of several outputs
        return node.all_input_nodes, []
    values = {argument.name: value for argument, value in zip(schema.arguments, node.args)}
    values.update(node.kwargs)
    aliases = [argument for argument in schema.arguments if argument.alias_info is not None]
    changed = [argument for argument in aliases if argument.alias_info.is_write]
    return [nodes_in([values.get(argument.name) for argument in some]) for some in (aliases, changed)]


def nodes_in(value):
    found = []
    fx.node.map_arg(value, found.append)
    return found
