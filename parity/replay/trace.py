"""The calls of a model, read while it is built and computed by the library: what each layer says of itself."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from parity.adapter import changed_calls, evaluate, input_name, layer_nodes, listed, output_name
from parity.models.build import build_case, load_case
from parity.replay.definitions import ALIASES, ARGUMENTS, Call, output_mask


@contextmanager
def recorded_calls(library):
    """While models are built in here, collect (layer, inputs, options) of every call that no layer makes."""
    calls = []

    def record(layer, arguments, options, outputs):
        if arguments:
            calls.append((layer, listed(arguments[0]), options, listed(outputs)))
        return outputs

    with changed_calls(library, record):
        yield calls


def trace(library, case, weights, values):
    """{name of an output: (its Call, array that the library computed)} of a case, in the order of computation.

    values: of the inputs of the model.
    """
    with recorded_calls(library) as calls:
        transformer, model = build_case(library, case)
    load_case(transformer, case, weights)
    nodes = layer_nodes(library, model)
    probe = library.keras.models.Model(model.input, [tensor for _, tensor in nodes])
    arrays = evaluate(library, probe, values if len(values) > 1 else values[0])
    known = {id(tensor): (input_name(tensor), value) for tensor, value in zip(model.inputs, values)}
    known.update((id(tensor), (name, array)) for (name, tensor), array in zip(nodes, arrays))
    masks, found, aliases, counts = {}, {}, {}, {}
    for layer, inputs, options, outputs in calls:
        number = counts[layer.name] = counts.get(layer.name, -1) + 1
        inputs = [aliases.get(id(tensor), tensor) for tensor in inputs]
        if type(layer).__name__ == "Dropout":
            aliases[id(outputs[0])] = inputs[0]
            continue
        if not all(id(tensor) in known for tensor in inputs + outputs):
            continue  # of another model that shares the layer
        call = describe(layer, inputs, options, known, masks, output_name(layer, number, 0))
        masks[id(outputs[0])] = output_mask(call)
        for i, tensor in enumerate(outputs):
            name = output_name(layer, number, i)
            found[name] = (call._replace(name=name), known[id(tensor)][1])
    names = [name for name, _ in nodes]
    return {name: found[name] for name in names if name in found}


def describe(layer, inputs, options, known, masks, name):
    kind = type(layer).__name__
    return Call(
        name,
        kind,
        {one: plain(one, getattr(layer, one)) for one in ARGUMENTS.get(kind, ())},
        {key: value for key, value in options.items() if isinstance(value, (bool, str))},
        tuple(value.astype("float64") for value in layer.get_weights()),
        tuple(in_double(known[id(tensor)][1]) for tensor in inputs),
        tuple(known[id(tensor)][0] for tensor in inputs),
        tuple(masks.get(id(tensor)) for tensor in inputs),
    )


def in_double(array):
    array = np.asarray(array)
    return array.astype("float64") if array.dtype.kind == "f" else array


def plain(name, value):
    """An attribute of a layer as numbers and text: of activations their names, always as a list."""
    if name == "activation":
        return [activation_name(one) for one in (value if isinstance(value, (list, tuple)) else [value])]
    if name == "hidden_activation":
        return activation_name(value)
    return float(value) if isinstance(value, np.floating) else value


def activation_name(function):
    name = getattr(function, "__name__", str(function))
    return ALIASES.get(name, name)
