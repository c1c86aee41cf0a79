"""OpenVINO, on the same file as ONNX Runtime. It may choose bfloat16, so float32 is asked for."""

import openvino

from bench.implementations.exported import Exported


class OpenVino(Exported):
    def load(self, scenario, folder):
        self.scenario = scenario
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        self.model = openvino.Core().compile_model(str(folder / self.FILE), "CPU", options)

    def names(self):
        return [one.any_name for one in self.model.inputs]

    def run(self, feed):
        return list(self.model(feed).values())
