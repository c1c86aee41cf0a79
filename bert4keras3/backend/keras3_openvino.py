"""OpenVINO, on which Keras 3 infers but does not train, in full float32 and compiled once for all shapes."""

import keras
import openvino
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask
from keras.src.backend.openvino.core import OPENVINO_DTYPES, OpenVINOKerasTensor
from openvino import opset13

from bert4keras3.backend.keras3_calls import CompiledCalls

# By itself OpenVINO rounds to bfloat16 where the processor has it.
CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}


class OpenVINOModel(CompiledCalls):
    """Keras's own compiles again for every length, goes on with weights that have changed since, and leaves the
    precision to the machine.
    """

    # Operators are compiled one by one where they are not compiled together.
    compile_calls = property(lambda self: True, lambda self, value: None)

    def call_compiled(self, inputs):
        outputs = self.predict_step((inputs,))
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, outputs)
        for tensor, output in zip(keras.tree.flatten(tensors), keras.tree.flatten(outputs)):
            mask = get_keras_mask(output)
            if mask is not None:
                set_keras_mask(tensor, keras.ops.convert_to_tensor(mask))
        return tensors

    def _get_compiled_model(self, data):
        kinds = [(str(x.dtype), len(x.shape)) for x in keras.tree.flatten(data)]
        weights = [variable.value for variable in self.variables]
        if self.ov_compiled_model is None or not self.is_current(kinds, weights):
            self.ov_compiled_model = openvino.compile_model(self.openvino_graph(data, kinds), "CPU", CONFIG)
            self.compiled_from = {"kinds": kinds, "ids": [id(one) for one in weights]}
            self.__dict__["compiled_weights"] = weights  # kept, so that no other gets the id of one of them
        return self.ov_compiled_model

    def is_current(self, kinds, weights):
        known = self.compiled_from
        return known["kinds"] == kinds and known["ids"] == [id(one) for one in weights]

    def openvino_graph(self, data, kinds):
        """The model as OpenVINO's, with every size open; notes which results are outputs and which their masks."""
        parameters = [opset13.parameter([-1] * ndim, OPENVINO_DTYPES[dtype]) for dtype, ndim in kinds]
        tensors = [OpenVINOKerasTensor(parameter.output(0)) for parameter in parameters]
        self.struct_params = keras.tree.pack_sequence_as(data, tensors)
        self.struct_outputs = self(self.struct_params, training=False)
        outputs = keras.tree.flatten(self.struct_outputs)
        masks = [(place, get_keras_mask(output)) for place, output in enumerate(outputs)]
        masks = [(place, mask) for place, mask in masks if isinstance(mask, OpenVINOKerasTensor)]
        self._n_main_outputs = len(outputs)
        self._output_mask_indices = {place: len(outputs) + i for i, (place, _) in enumerate(masks)}
        results = outputs + [mask for _, mask in masks]
        return openvino.Model([opset13.result(one.output) for one in results], parameters)


def first_rows(table, count):
    """table[:count], where count may be known when the model runs only."""
    zero, one = [opset13.constant([number], openvino.Type.i32) for number in (0, 1)]
    stop = keras.ops.reshape(keras.ops.convert_to_tensor(count, dtype="int32"), (1,))
    rows = opset13.slice(keras.ops.convert_to_tensor(table).output, zero, stop.output, one, zero)
    return OpenVINOKerasTensor(rows.output(0))
