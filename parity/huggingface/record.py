"""What the library under test computes from folders that transformers wrote."""

import importlib
import tempfile
from pathlib import Path

import numpy as np

from parity.adapter import listed
from parity.huggingface.compare import GRADIENTS, fullest, read
from parity.models.training import make_step, measure_gradients
from parity.subsample import GRADIENT_SAMPLE, sample

NO_DROPOUT = {"dropout_rate": 0, "attention_dropout_rate": 0}


def record(kind, library, flavour, name):
    """Outputs {"<number of the model>/<number of the output>": array}, or gradients {parameter: array}."""
    known = read(name)
    with tempfile.TemporaryDirectory() as folder:
        for file, content in known.files.items():
            (Path(folder) / file).write_bytes(content)
        return (gradients if kind == GRADIENTS else outputs)(library, known, folder)


def outputs(library, known, folder):
    arrays = {}
    for i, (arguments, _, _) in enumerate(known.answers):
        found = outputs_of(library.build_transformer_model(folder, **arguments), known.inputs)
        arrays.update((f"{i}/{j}", output) for j, output in enumerate(found))
    return arrays


def gradients(library, known, folder):
    """{parameter: gradient}, in the names and the layout of transformers."""
    library_names = importlib.import_module(library.name + ".huggingface")
    places_of = library_names.places_of
    arguments = dict(known.answers[fullest(known.answers)][0], **NO_DROPOUT)
    transformer = library.build_transformer_model(folder, return_keras_model=False, **arguments)
    step = make_step(library, transformer.model, inputs_of(transformer.model, known.inputs), known.seen)
    found = measure_gradients(transformer.model, step)
    variables = {
        variable: transformer.create_variable(variable, found[layer][i])
        for layer, names in transformer.mapped_layers().items()
        for i, variable in enumerate(names)
        if i in found.get(layer, ())
    }
    rows = transformer.huggingface_rows()
    named = dict(library_names.named_parameters(variables.items(), rows))
    for row in rows.values():  # two layers of ours that have one parameter there, as the logits of T5
        first, *copies = [place.full for place in places_of(row)]
        if first in named and copies and copies[0] in named and first not in known.gradients:
            named[copies[0]] = named[copies[0]] + named.pop(first)
    return {name: sample(gradient, GRADIENT_SAMPLE) for name, gradient in named.items()}


def outputs_of(model, values):
    """What a model predicts for the inputs of a folder."""
    feed = inputs_of(model, values)
    return [
        np.asarray(output) for output in listed(model.predict_on_batch(feed if len(feed) > 1 else feed[0]))
    ]


def inputs_of(model, values):
    """Inputs of a model; a model with an input more than transformers gets zeros, as segments."""
    values = [np.asarray(value, "float32") for value in values[: len(model.inputs)]]
    if len(values) < len(model.inputs):
        values.append(np.zeros_like(values[0]))
    return values
