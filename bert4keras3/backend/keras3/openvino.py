"""Inference by OpenVINO in float32, compiled once for all shapes. Keras 3 does not train on OpenVINO."""

import keras
import numpy as np
import openvino
from openvino import opset13

from bert4keras3.backend.extensions import extends, set_attribute
from bert4keras3.backend.keras3 import private
from bert4keras3.backend.keras3.private import (
    OPENVINO_DTYPES,
    OpenVINOKerasTensor,
    get_keras_mask,
    set_keras_mask,
)

# OpenVINO's default is bfloat16 if the processor has its instructions.
CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}

Model = keras.Model


@extends(Model, "__call__")
def call(original, self, *args, **kwargs):
    """Run a direct call as `predict` runs it. By itself, Keras would compile each operator separately."""
    arrays = keras.tree.flatten(args[:1])
    plain = all(value is None or value is False for value in kwargs.values())
    if len(args) != 1 or not plain or not arrays or not all(isinstance(one, np.ndarray) for one in arrays):
        return original(self, *args, **kwargs)
    if not hasattr(self, "operations") or self.run_eagerly:
        return original(self, *args, **kwargs)
    outputs = self.predict_step((args[0],))
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, outputs)
    for tensor, output in zip(keras.tree.flatten(tensors), keras.tree.flatten(outputs)):
        mask = get_keras_mask(output)
        if mask is not None:
            set_keras_mask(tensor, keras.ops.convert_to_tensor(mask))
    return tensors


def compiled_model(self, data):
    """The compiled model for these inputs.

    Keras's own method compiles again for each length, ignores changed weights, and leaves the precision to OpenVINO.
    """
    kinds = [(str(x.dtype), len(x.shape)) for x in keras.tree.flatten(data)]
    weights = [variable.value for variable in self.variables]
    if self.ov_compiled_model is None or not is_current(self, kinds, weights):
        self.ov_compiled_model = openvino.compile_model(openvino_graph(self, data, kinds), "CPU", CONFIG)
        self.compiled_from = {"kinds": kinds, "ids": [id(one) for one in weights]}
        self.__dict__["compiled_weights"] = weights  # references, so that no other object gets one of the ids
    return self.ov_compiled_model


set_attribute(Model, private.GET_COMPILED_MODEL, compiled_model)


def is_current(model, kinds, weights):
    known = model.compiled_from
    return known["kinds"] == kinds and known["ids"] == [id(one) for one in weights]


def openvino_graph(model, data, kinds):
    """The model as an `openvino.Model` with dynamic sizes. Its results are the outputs, then their masks."""
    parameters = [opset13.parameter([-1] * ndim, OPENVINO_DTYPES[dtype]) for dtype, ndim in kinds]
    tensors = [OpenVINOKerasTensor(parameter.output(0)) for parameter in parameters]
    model.struct_params = keras.tree.pack_sequence_as(data, tensors)
    model.struct_outputs = model(model.struct_params, training=False)
    outputs = keras.tree.flatten(model.struct_outputs)
    masks = [(place, get_keras_mask(output)) for place, output in enumerate(outputs)]
    masks = [(place, mask) for place, mask in masks if isinstance(mask, OpenVINOKerasTensor)]
    places = {place: len(outputs) + i for i, (place, _) in enumerate(masks)}
    private.set_places_of_outputs(model, len(outputs), places)
    results = outputs + [mask for _, mask in masks]
    return openvino.Model([opset13.result(one.output) for one in results], parameters)


def first_rows(table, count):
    """table[:count]; count may be a tensor."""
    zero, one = [opset13.constant([number], openvino.Type.i32) for number in (0, 1)]
    stop = keras.ops.reshape(keras.ops.convert_to_tensor(count, dtype="int32"), (1,))
    rows = opset13.slice(keras.ops.convert_to_tensor(table).output, zero, stop.output, one, zero)
    return OpenVINOKerasTensor(rows.output(0))
