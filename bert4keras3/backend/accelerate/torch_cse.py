"""Recorded operations that equal an earlier one: each layer makes the same mask, and PyTorch would make it again."""

import torch
from torch import fx


def eliminate_common_subexpressions(graph, constants):
    """Let one operation stand for all that are equal, but for those on memory that something writes to.

    Outputs stay apart too: who gets them may write to one.
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
        earlier = node if apart else first.setdefault(what_it_gives(node, constants), node)
        if earlier is not node:
            node.replace_all_uses_with(earlier)
            graph.erase_node(node)


def what_it_gives(node, constants):
    """A key that nodes share which give the same."""
    if node.op == "call_function" and not is_random(node.target):
        return node.target, repr(node.args), repr(node.kwargs)
    if node.op == "get_attr":
        constant = getattr(constants, node.target)
        if constant.numel() == 1:
            return constant.dtype, constant.shape, repr(constant.item())
    return node


def memory(node):
    """The nodes whose memory a node's outputs may share, and those that it writes to."""
    schema = getattr(node.target, "_schema", None)
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


def is_random(operation):
    return torch.Tag.nondeterministic_seeded in getattr(operation, "tags", ())
