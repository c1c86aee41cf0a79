"""What the library under test computes from folders that transformers wrote."""

import importlib
import tempfile
from pathlib import Path

import numpy as np

from parity.adapter import listed
from parity.huggingface.compare import read


def record(kind, library, flavour, name):
    """{"<number of the model>/<number of the output>": array}"""
    build = importlib.import_module(library.name + ".models").build_transformer_model
    known, arrays = read(name), {}
    with tempfile.TemporaryDirectory() as folder:
        for file, content in known.files.items():
            (Path(folder) / file).write_bytes(content)
        for i, (arguments, _, _) in enumerate(known.answers):
            outputs = outputs_of(build(folder, **arguments), known.inputs)
            arrays.update((f"{i}/{j}", output) for j, output in enumerate(outputs))
    return arrays


def outputs_of(model, inputs):
    """Outputs of a model; a model with an input more than transformers gets zeros, as segments."""
    values = [np.asarray(value, "float32") for value in inputs[: len(model.inputs)]]
    if len(values) < len(model.inputs):
        values.append(np.zeros_like(values[0]))
    outputs = model.predict_on_batch(values if len(values) > 1 else values[0])
    return [np.asarray(output) for output in listed(outputs)]
