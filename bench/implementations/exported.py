"""An encoder of bert4keras3 as an ONNX file, exported by Keras 3 on PyTorch, for the programs that run such files."""

import numpy as np

from bench.implementations import Unsupported
from bench.implementations.adapter import Adapter
from bench.scenarios import COMPILED, GENERATE, PREDICT, TRAIN
from bench.weights import make_weights, weights_folder, write_weights


class Exported(Adapter):
    """A program that runs the file has `load`, and `run(feed)` and `names()` of the inputs."""

    FORMAT, CHECK, FILE = "onnx", COMPILED, "model.onnx"

    def convert(self, scenario, folder):
        from bench.implementations.ours import Ours  # it imports Keras, which is absent when the file runs

        refuse(scenario, COMPILED)
        ours = Ours()
        if scenario.release.full_size:
            make_weights(scenario, ours)
            ours.load(scenario, weights_folder(scenario, ours.FORMAT))
        else:
            write_weights(scenario, ours, folder)
            ours.load(scenario, folder)
        # Keras exports a model that has been called
        inputs = [np.ones((scenario.batch, scenario.length), "int32") for _ in ours.model.inputs]
        ours.function(PREDICT)(ours.feed(PREDICT, inputs))
        ours.hidden.export(str(folder / self.FILE), format="onnx", verbose=False)

    def function(self, mode):
        refuse(self.scenario, mode)
        return self.run

    def feed(self, mode, inputs):
        """Keras's inputs are float32, ids too."""
        return {name: value.astype(np.float32) for name, value in zip(self.names(), inputs)}


def refuse(scenario, mode):
    """Raise Unsupported for what such a file does not hold."""
    if mode in (GENERATE, TRAIN) or scenario.new_tokens or TRAIN in scenario.modes:
        raise Unsupported("the exported file is an encoder's forward pass")
    if mode != COMPILED:
        raise Unsupported(f"an exported file has one kind of call, which is measured as {COMPILED!r}")
