"""ONNX Runtime, on a file that Keras 3 on PyTorch exports from a model of bert4keras3."""

import onnxruntime

from bench.subjects.exported import CHECK, FILE, FORMAT, convert, refuse  # noqa: F401


def load(scenario, folder):
    return onnxruntime.InferenceSession(str(folder / FILE), providers=["CPUExecutionProvider"])


def function(model, scenario, mode):
    refuse(scenario, mode)
    return lambda feed: model.run(None, feed)


def feed(model, mode, inputs):
    return dict(zip([one.name for one in model.get_inputs()], inputs))


def arrays(outputs):
    return outputs
