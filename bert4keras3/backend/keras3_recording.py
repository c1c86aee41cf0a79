"""Functions on PyTorch as the list of operations that they came to.

It costs no call of a Keras layer, which on PyTorch takes longer than what the layer computes for one token. Python's
own decisions are those of the first call, as in a compiled function of any framework.
"""

import keras
from torch.fx.experimental.proxy_tensor import make_fx

tree = keras.tree


class Recorded:
    """`function(values, *arguments)` of nested tensors, recorded for each set of shapes. Call it with gradients off.

    values: of weights, which the function does not change in place.
    """

    def __init__(self, function):
        self.function = function
        self.graphs = {}  # {shapes and dtypes of the inputs: (graph, structure of the outputs)}

    def __call__(self, *arguments):
        arguments = tree.map_structure(keras.ops.convert_to_tensor, arguments)
        inputs = tree.flatten(arguments)
        key = tuple((tuple(x.shape), x.dtype) for x in inputs)
        if key not in self.graphs:
            self.graphs[key] = self.record(arguments)
        graph, structure = self.graphs[key]
        return tree.pack_sequence_as(structure, graph(*inputs))

    def record(self, arguments):
        structure = None

        def flat(*inputs):
            nonlocal structure
            outputs = self.function(*tree.pack_sequence_as(arguments, inputs))
            structure = tree.map_structure(lambda x: 0, outputs)
            return tree.flatten(outputs)

        # copies, as recording runs the function
        copies = (arguments[0],) + tree.map_structure(lambda x: x.clone(), arguments[1:])
        graph = make_fx(flat)(*tree.flatten(copies))
        graph.graph.eliminate_dead_code()
        graph.recompile()
        return graph, structure
