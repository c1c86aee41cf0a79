"""The library under test: opened by its name, with the outputs of a model's layers.

The reference and bert4keras3 run the same code on every Keras.
"""

import importlib
import platform
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import numpy as np

IDENTITY_LAYERS = ("InputLayer", "Dropout")


def open_library(name, devices=None):
    """The modules of a library under test, bert4keras or bert4keras3, and the devices that run its models."""
    modules = {part: importlib.import_module(f"{name}.{part}") for part in ("backend", "layers", "models")}
    tokenizers = importlib.import_module(name + ".tokenizers")
    return SimpleNamespace(
        name=name,
        devices=devices or OneDevice(),
        keras=modules["backend"].keras,
        K=modules["backend"].K,
        backend=modules["backend"],
        set_gelu=modules["backend"].set_gelu,
        layers=modules["layers"],
        build_transformer_model=modules["models"].build_transformer_model,
        Tokenizer=tokenizers.Tokenizer,
        load_vocab=tokenizers.load_vocab,
    )


class OneDevice:
    """Runs models on one device. `parity.mesh` and `parity.processes` have others, which split them.

    Attributes:
        writes: whether this process writes the records.
    """

    writes = True

    def scope(self):
        """Context in which models are built and trained."""
        return nullcontext()

    def forget(self, library):
        """Called before a model is built."""

    def split(self, library, case, model):
        """Called when the model of a case is built."""

    def predict(self, library, model, values):
        """Outputs of a model as arrays, for a list of inputs."""
        return listed(model.predict(alone(values), verbose=0))

    def evaluate(self, library, model, values):
        """The same for a model that is used once."""
        return evaluate(library, model, alone(values))

    def trainer(self, library, model, rate):
        """Function (inputs, targets) → loss, which makes one step of a compiled model; rate: of SGD."""
        return model.train_on_batch


def alone(values):
    """The value of a list that has one."""
    return values if len(values) > 1 else values[0]


def input_name(tensor):
    return tensor._keras_history[0].name


def token_input(model):
    """Which input the padding of the outputs is that of."""
    return max(i for i, x in enumerate(model.inputs) if input_name(x).endswith("Token"))


def known_shape(tensor):
    """Shape as a tuple of int or None; TensorFlow 1 has Dimension objects."""
    return tuple(getattr(size, "value", size) for size in tensor.shape)


def layer_nodes(library, model):
    """[(name, tensor)] of every call of a layer that computes something, in the order of computation."""

    def inputs_known(node):
        # Keras 3 lists masks too, which no layer made.
        tensors = [
            x
            for x in listed(node.input_tensors)
            if isinstance(x._keras_history[0], library.keras.layers.Layer)
        ]
        return all(id(x) in known for x in tensors)

    known = {id(tensor) for tensor in listed(model.inputs)}
    found, before = [], -1
    while len(found) != before:
        before = len(found)
        for layer in model.layers:
            for i, node in enumerate(layer._inbound_nodes):
                outputs = listed(node.output_tensors)
                if id(outputs[0]) in known or not inputs_known(node):
                    continue
                known.update(id(tensor) for tensor in outputs)
                for j, tensor in enumerate(outputs):
                    found.append((output_name(layer, i, j), tensor, layer))
    return [(name, tensor) for name, tensor, layer in found if type(layer).__name__ not in IDENTITY_LAYERS]


@contextmanager
def changed_calls(library, change):
    """While models are built in here, each call of a layer returns change(layer, arguments, options, outputs).

    Calls that a layer makes of other layers stay as they are.
    """
    base = library.keras.layers.Layer
    original, depth = base.__call__, [0]

    def call(layer, *arguments, **options):
        depth[0] += 1
        try:
            outputs = original(layer, *arguments, **options)
        finally:
            depth[0] -= 1
        return outputs if depth[0] else change(layer, arguments, options, outputs)

    base.__call__ = call
    try:
        yield
    finally:
        base.__call__ = original


def output_name(layer, call, output):
    """Name of an output of a layer's call: `layer#<call>.<output>`, zeros left out."""
    return layer.name + (f"#{call}" if call else "") + (f".{output}" if output else "")


def evaluate(library, model, values):
    """Outputs as arrays. Keras 3 runs the model operation by operation: to compile each probe would take longer."""
    if not hasattr(library.keras, "ops"):
        return listed(model.predict_on_batch(values))
    return [library.keras.ops.convert_to_numpy(x) for x in listed(model(values, training=False))]


def listed(value):
    if not isinstance(value, (list, tuple)):
        return [value]
    return [item for items in value for item in listed(items)]


def reference_versions():
    """Versions of the reference and of what it runs on."""
    import bert4keras
    import keras
    import tensorflow

    return {
        "bert4keras": bert4keras.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "tensorflow": tensorflow.__version__,
    }
