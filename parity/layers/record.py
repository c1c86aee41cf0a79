"""What single layers and backend functions of the library under test compute, with the reference's weights."""

import sys

from parity import adapter
from parity.layers.cases import Library, compute
from parity.layers.compare import read_golden


def record(kind, library, flavour, name):
    """{"<number of the output>": array}"""
    metadata, inputs, weights, _ = read_golden()
    outputs = compute(adapted(library), metadata["cases"][name], inputs, weights[name])
    return {str(i): output for i, output in enumerate(outputs)}


def adapted(library):
    keras, K, ops = library.keras, library.K, library.backend.ops

    def evaluate(tensors):
        if hasattr(keras, "ops"):
            return [keras.ops.convert_to_numpy(tensor) for tensor in tensors]
        if hasattr(tensors[0], "numpy"):
            return [tensor.numpy() for tensor in tensors]
        return K.get_session().run(tensors)

    def compile(function):
        if "jax" not in sys.modules or keras.backend.backend() != "jax":
            return function
        return sys.modules["jax"].jit(function)

    return Library(
        keras=keras,
        layers=library.layers,
        backend=library.backend,
        Layer=library.backend.Layer,
        to_tensor=ops.convert_to_tensor,
        to_bool=lambda x: ops.cast(x, "bool"),
        evaluate=evaluate,
        compile=compile,
        predict=lambda model, values: adapter.evaluate(library, model, values),
        floatx="float32",
    )
