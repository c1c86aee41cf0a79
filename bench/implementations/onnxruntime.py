"""ONNX Runtime, on a file that Keras 3 on PyTorch exports from a model of bert4keras3."""

import numpy as np
import onnxruntime

from bench.implementations.exported import CHECK, FILE, FORMAT, convert, refuse  # noqa: F401


def load(scenario, folder):
    return onnxruntime.InferenceSession(str(folder / FILE), providers=["CPUExecutionProvider"])


def function(model, scenario, mode):
    refuse(scenario, mode)
    return lambda feed: model.run(None, feed)


def feed(model, mode, inputs):
    """Keras's inputs are float32, ids too."""
    return {one.name: value.astype(np.float32) for one, value in zip(model.get_inputs(), inputs)}


def arrays(outputs):
    return outputs
