"""OpenVINO, on the same file as ONNX Runtime. By itself it may choose bfloat16, so float32 is asked for."""

import openvino

from bench.subjects.exported import CHECK, FILE, FORMAT, convert, refuse  # noqa: F401


def load(scenario, folder):
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    return openvino.Core().compile_model(str(folder / FILE), "CPU", options)


def function(model, scenario, mode):
    refuse(scenario, mode)
    return lambda feed: list(model(feed).values())


def feed(model, mode, inputs):
    return dict(zip([one.any_name for one in model.inputs], inputs))


def arrays(outputs):
    return [outputs[0]]
