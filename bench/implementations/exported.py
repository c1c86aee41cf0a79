"""An encoder of bert4keras3 as an ONNX file, exported by Keras 3 on PyTorch, for the programs that run such files."""

from bench.implementations import Unsupported
from bench.scenarios import COMPILED, GENERATE, PREDICT, TRAIN, make_inputs
from bench.weights import make_weights, weights_folder

FORMAT, CHECK, FILE = "onnx", COMPILED, "model.onnx"


def convert(scenario, folder):
    from bench.implementations import ours  # it imports Keras, which is absent when the file runs

    refuse(scenario, COMPILED)
    make_weights(scenario, ours)
    model = ours.load(scenario, weights_folder(scenario, ours.FORMAT))
    # Keras exports a model that has been called
    ours.function(model, scenario, PREDICT)(ours.feed(model, PREDICT, make_inputs(scenario)))
    model.hidden.export(str(folder / FILE), format="onnx", verbose=False)


def refuse(scenario, mode):
    """Raise Unsupported for what such a file does not hold."""
    if mode in (GENERATE, TRAIN) or scenario.new_tokens or TRAIN in scenario.modes:
        raise Unsupported("the exported file is an encoder's forward pass")
    if mode != COMPILED:
        raise Unsupported(f"an exported file has one kind of call, which is measured as {COMPILED!r}")
