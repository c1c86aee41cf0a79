"""ONNX Runtime, on a file that Keras 3 on PyTorch exports from a model of bert4keras3."""

import onnxruntime

from bench.implementations.exported import Exported


class OnnxRuntime(Exported):
    def load(self, scenario, folder):
        self.scenario = scenario
        options = {"providers": ["CPUExecutionProvider"]}
        self.session = onnxruntime.InferenceSession(str(folder / self.FILE), **options)

    def names(self):
        return [one.name for one in self.session.get_inputs()]

    def run(self, feed):
        return self.session.run(None, feed)
