"""Weights in TensorFlow's object format, which tf.keras writes for `model.save_weights("best_model.weights")`.

Keras 3 and keras 2.3.1 cannot read the format. tf.keras silently skips a variable that the file lacks.
"""

import difflib
import os
import re
from typing import Any

import numpy as np

from bert4keras3.backend.flavour import FLAVOUR
from bert4keras3.backend.package import keras
from bert4keras3.checkpoints import CheckpointError, open_checkpoint
from bert4keras3.checkpoints.object_graph import read_object_graph

LAYER = re.compile(r"layer_with_weights-(\d+)$")
NO_LAYERS = ("optimizer", "keras_api", "save_counter")
SHOWN = 5
INSTEAD = "Build the model that was saved, with the same layers and sizes"


def is_object_checkpoint(path: Any) -> bool:
    """Whether `path` is the prefix of a TensorFlow checkpoint: `path` + ".index" is a file."""
    return os.path.isfile(os.fspath(path) + ".index")


def load_object_weights(model: Any, path: Any) -> None:
    """Set all weights of a model from a file that tf.keras saved with `save_weights`.

    Layers match by name if file and model have the same names, else by order. All weights are checked before the
    first weight is set. The state of an optimizer in the file is ignored.

    Args:
        model: a built Functional or Sequential model.
        path: prefix of the files, "best_model.weights" for "best_model.weights.index".

    Raises:
        CheckpointError: the file is damaged, or its variables are not the weights of the model.
    """
    checkpoint = open_checkpoint(os.fspath(path))
    pairs = []
    unset = {id(weight): weight for weight in model.weights}
    for variable, weight in matched(model, read_object_graph(checkpoint), checkpoint.path):
        name = "/".join(variable.path)
        if id(weight) not in unset:
            raise CheckpointError(
                f"'{path}': {name}, which TensorFlow calls {variable.full_name}, is no weight of the model. {INSTEAD}"
            )
        expected, found = tuple(int(size) for size in weight.shape), checkpoint.shape(variable.key)
        if expected != found:
            raise CheckpointError(
                f"'{path}': {name} has shape {list(found)}, expected {list(expected)} for the weight "
                f"{path_of(weight)}. {INSTEAD}"
            )
        pairs.append((unset.pop(id(weight)), variable.key))
    if unset:
        missing = path_of(list(unset.values())[0])
        raise CheckpointError(
            f"'{path}' has {len(pairs)} of the model's {len(model.weights)} weights; {missing} is missing. {INSTEAD}"
        )
    assign([(weight, checkpoint[key]) for weight, key in pairs])


def assign(pairs):
    """Assign NumPy arrays to weights; copies, since a framework may keep the memory of an array."""
    if FLAVOUR != "keras3":
        return keras.backend.batch_set_value(pairs)
    for weight, value in pairs:
        weight.assign(np.array(value))


def matched(owner, variables, path, depth=0):
    """Pairs of a variable and its weight or None, for variables inside a model or layer; its path has `depth` steps."""
    steps = {}
    for variable in variables:
        if variable.path[depth] not in NO_LAYERS:
            steps.setdefault(variable.path[depth], []).append(variable)
    layers = matched_layers(owner, steps, path) if any(LAYER.match(step) for step in steps) else {}
    for step, below in steps.items():
        part = layers[step] if step in layers else attribute(owner, step)
        if len(below[0].path) == depth + 1:
            yield below[0], weight_of(owner, step, part)
        elif part is None:
            yield below[0], None
        else:
            yield from matched(part, below, path, depth + 1)


def matched_layers(model, steps, path):
    """{step: layer}: the layers of a model for the steps "layer_with_weights-…" of a file."""
    steps = {step: below for step, below in steps.items() if LAYER.match(step)}
    layers = [layer for layer in getattr(model, "layers", ()) if layer.weights]
    names = {step: below[0].full_name.split("/")[0] for step, below in steps.items()}
    if len(layers) != len(steps):
        known, found = {layer.name for layer in layers}, set(names.values())
        raise CheckpointError(
            f"'{path}': expected {len(layers)} layers with weights for {getattr(model, 'name', type(model).__name__)}, "
            f"found {len(steps)}; in the file alone: {listed(found - known)}; in the model alone: "
            f"{listed(known - found)}. {INSTEAD}"
        )
    by_name = {layer.name: layer for layer in layers}
    if set(names.values()) == set(by_name):
        return {step: by_name[name] for step, name in names.items()}
    return {step: layers[int(LAYER.match(step).group(1))] for step in steps}


def attribute(owner, name):
    """Attribute of a layer, or item of a list or dict, by its name in the file; None if it does not exist."""
    if isinstance(owner, (list, tuple)):
        return owner[int(name)] if name.isdigit() and int(name) < len(owner) else None
    if isinstance(owner, dict):
        return owner.get(name)
    return getattr(owner, name, None)


def weight_of(layer, name, found):
    """The weight of a layer for a name in the file: the attribute, or else the one weight with this name."""
    weights = getattr(layer, "weights", ())
    if any(found is weight for weight in weights):
        return found
    named = [weight for weight in weights if weight.name.split("/")[-1].split(":")[0] == name]
    return named[0] if len(named) == 1 else None


def listed(names):
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(sorted(names)[:SHOWN]) or "none") + more


def path_of(weight):
    """Name of a weight, with the name of its layer."""
    return getattr(weight, "path", weight.name)


def missing_weights(path: Any) -> FileNotFoundError:
    """The error for a file of weights that does not exist. The message lists similar names in its folder."""
    path = os.fspath(path)
    folder, name = os.path.split(path)
    if not os.path.isdir(folder or "."):
        return FileNotFoundError(f"'{path}' does not exist, nor does its folder. Check the path")
    files = sorted(os.listdir(folder or "."))
    if any(file.startswith(name + ".data-") for file in files):
        return FileNotFoundError(
            f"'{path}.index' is missing, though its data is there. Copy it next to the data"
        )
    prefixes = [file[: -len(".index")] for file in files if file.endswith(".index")]
    near = difflib.get_close_matches(name, prefixes + files, n=5, cutoff=0.4)
    found = f"Similar names in its folder: {', '.join(near)}" if near else "Its folder has no similar name"
    return FileNotFoundError(f"'{path}' does not exist. {found}")
