"""OpenVINO, on the same file as ONNX Runtime. It may choose bfloat16, so the adapter asks for float32."""

import numpy as np
import openvino

from bench.implementations.exported import CHECK, FILE, FORMAT, convert, refuse  # noqa: F401


def load(scenario, folder):
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    return openvino.Core().compile_model(str(folder / FILE), "CPU", options)


def function(model, scenario, mode):
    refuse(scenario, mode)
    return lambda feed: list(model(feed).values())


def feed(model, mode, inputs):
    """Keras's inputs are float32, ids too."""
    return {one.any_name: value.astype(np.float32) for one, value in zip(model.inputs, inputs)}


def arrays(outputs):
    return [outputs[0]]
