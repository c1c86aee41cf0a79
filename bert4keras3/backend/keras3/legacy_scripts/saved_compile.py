"""Compile a loaded model as its file says, with losses and metrics that are methods of layers.

Keras saves a method, `loss=crf.sparse_loss`, by its name and cannot load it. Here the name becomes the method of the
model's own layer. From HDF5, Keras cannot load loss="mse" or the state of the optimizer.
"""

from __future__ import annotations

import functools
import json
import warnings
from typing import Any, Iterator

import h5py
import keras
import numpy as np

from bert4keras3.backend.extensions import extends

INSTEAD = "Pass it in custom_objects, or load with compile=False and call model.compile"
BY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")  # Keras chooses the metric by the shape of the output
SAVED = ("loss", "metrics", "weighted_metrics")


@extends(keras.Model, "compile_from_config")
def compile_from_config(original, self, config):
    """Compile as a file in Keras's own format says; losses and metrics may be methods of layers."""
    methods: dict[str, Any] = {}

    def with_methods(item, output):
        if not isinstance(item, dict) or item.get("class_name") != "method":
            return item
        method = method_of_layers(self, item["config"], output)
        if method is None:
            raise ValueError(
                f"the model was compiled with the method {item['config']!r}, but not exactly one layer of the "
                f"model has it. {INSTEAD}"
            )
        name = f"{item['config']} of {method.__self__.name}, {id(self)}"
        methods[name] = method
        return {"class_name": "function", "module": "builtins", "config": name, "registered_name": name}

    config = dict(
        config, **{part: mapped(config.get(part), with_methods, self) for part in SAVED if part in config}
    )
    known = keras.saving.get_custom_objects()  # a scope would hide the custom objects of `load_model`
    known.update(methods)
    try:
        return original(self, config)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the model cannot be compiled as saved: {first_sentence(error)}. {INSTEAD}"
        ) from error
    finally:
        for name in methods:
            del known[name]


def compile_from_h5(model: Any, path: Any, custom_objects: dict[str, Any] | None = None) -> None:
    """Compile a model as its HDF5 file says, and restore the state of its optimizer.

    Args:
        model: the model that `load_model(path, compile=False)` returned.
        path: the file. If the saved model was not compiled, the function changes nothing.
        custom_objects: losses, metrics and optimizers by name.

    Raises:
        ValueError: a loss, a metric or an optimizer of the file is unknown.
    """
    with h5py.File(path, "r") as file:
        text = file.attrs.get("training_config")
        state = optimizer_state(file)
    if text is None:
        return
    config = json.loads(text)
    objects = dict(keras.saving.get_custom_objects(), **(custom_objects or {}))
    try:
        with keras.saving.custom_object_scope(objects):
            arguments = {
                part: mapped(config.get(part), functools.partial(find, model, objects, part), model)
                for part in SAVED
            }
            optimizer = dict(config["optimizer_config"])
            # TensorFlow 2.13 to 2.15 write "Custom>Adam"
            optimizer["class_name"] = optimizer["class_name"].replace("Custom>", "")
            arguments["optimizer"] = keras.optimizers.deserialize(optimizer)
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{path}': {first_sentence(error)}. {INSTEAD}") from error
    model.compile(loss_weights=config.get("loss_weights"), **arguments)
    model.optimizer.build(model.trainable_variables)
    restore_optimizer(model.optimizer, state, path)


def find(model, objects, part, name, output):
    """Find a loss or metric by its name or configuration in an HDF5 file."""
    kind = keras.losses if part == "loss" else keras.metrics
    if isinstance(name, dict):
        return kind.deserialize(name)
    if name in objects:
        return objects[name]
    if part != "loss" and name in BY_SHAPE:
        return name
    try:
        known = kind.get(name)
        return known if part == "loss" else name  # Keras shows the metric under this name
    except ValueError:
        method = method_of_layers(model, name, output)
        if method is None:
            raise ValueError(f"the {part} {name!r} is unknown") from None
        return method


def mapped(value, function, model, output=None):
    """Replace each item of a nest of losses or metrics by function(item, name of the output)."""
    if value is None:
        return None
    if isinstance(value, str) or (isinstance(value, dict) and "class_name" in value):
        return function(value, output)
    if isinstance(value, dict):
        return {name: mapped(item, function, model, name) for name, item in value.items()}
    names = getattr(model, "output_names", [None])
    names = names if len(names) == len(value) else [output or names[0]] * len(value)
    return [mapped(item, function, model, output or name) for item, name in zip(value, names)]


def method_of_layers(model, name, output):
    """The method with this name, of the output's layer or of the only layer that has it; else None."""
    owners = [layer for layer in all_layers(model) if callable(getattr(layer, name, None))]
    named = [layer for layer in owners if layer.name == output]
    return getattr((named or owners)[0], name) if named or len(owners) == 1 else None


def all_layers(model) -> Iterator[Any]:
    """Layers of a model and of the models in it."""
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from all_layers(layer)


def optimizer_state(file) -> dict[str, np.ndarray]:
    """{path of a variable: array} of the optimizer in an HDF5 file."""
    group = file.get("optimizer_weights")
    if group is None:
        return {}
    names: list[Any] = []
    for key in sorted(group.attrs, key=lambda key: (len(key), key)):  # weight_names, or weight_names0, 1, …
        if key.startswith("weight_names"):
            names += list(group.attrs[key])
    names = [name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in names]
    return {name: np.array(group[name]) for name in names}


def restore_optimizer(optimizer, state, path):
    """Set the variables of an optimizer whose paths and shapes the file has."""
    known = [one for one in optimizer.variables if np.shape(state.get(one.path)) == tuple(one.shape)]
    known = [one for one in known if one.path in state]
    for variable in known:
        variable.assign(state[variable.path])
    if len(known) < len(state):
        warnings.warn(
            f"'{path}': {len(known)} of {len(state)} variables of the optimizer are restored; the others are reset",
            stacklevel=3,
        )


def first_sentence(error):
    return str(error).split("\n")[0].split(". ")[0].rstrip(".")
