"""Whole models in HDF5 that bert4keras saved on Keras 2: `load_model` with what such a file lacks.

The file names our layers without a package, gives initializers a dtype, and holds the functions of Lambda layers
as bytecode of the Python that wrote it.
"""

from __future__ import annotations

import os
from typing import Any, Callable

import h5py

from bert4keras3.backend.package import keras

PACKAGE = "bert4keras3>"
# Names of Lambda layers, of bert4keras and of the scripts that it publishes: the layer of ours that does the same.
LAMBDAS = {
    "Attention-LM-Mask": "CausalMask",
    "Attention-UniLM-Mask": "UniLMMask",
    "CLS-token": "FirstToken",
    "Pooler": "FirstToken",
}
LONGEST = 300  # characters of Keras's words in a message
INSTEAD = "build the model, with build_transformer_model and your own layers, and call model.load_weights(%r)"


class UnknownLambda(Exception):
    """A Lambda layer whose function cannot be had; the argument is the name of the layer."""


def is_legacy_model(path: Any) -> bool:
    """Whether a file is a whole model in HDF5 that Keras 2 saved."""
    if not os.path.isfile(path) or not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        version = file.attrs.get("keras_version", "")
        version = version.decode() if isinstance(version, bytes) else str(version)
        return "model_config" in file.attrs and version.startswith("2.")


def load_legacy_model(
    path: Any,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    load: Callable | None = None,
) -> Any:
    """A model that bert4keras, or Keras 2 alone, saved in HDF5.

    Args:
        path: the file; on Keras 3 its name ends in .h5 or .hdf5.
        custom_objects: classes and functions by name, as for Keras; under the name of a Lambda layer its function.
        compile: compile the model as the file says.
        load: Keras's own `load_model`, if `keras.models.load_model` calls this function.

    Raises:
        ValueError: the file has a layer that cannot be made, or a loss that is not known; the message says what to do.
    """
    path = os.fspath(path)
    objects = dict(our_objects(), **initializers_without_dtype())
    objects.update(custom_objects or {})
    objects["Lambda"] = lambda_class(objects)
    try:
        return (load or keras.models.load_model)(path, custom_objects=objects, compile=compile)
    except Exception as error:
        raise ValueError(explained(path, error)) from error


def our_objects():
    """Our layers and functions by the names that bert4keras gives them."""
    return {name.replace(PACKAGE, ""): one for name, one in keras.utils.get_custom_objects().items()}


def initializers_without_dtype():
    """Keras's initializers, whose configurations in a file of tf.keras have a dtype."""
    found = [getattr(keras.initializers, name) for name in dir(keras.initializers)]
    return {one.__name__: without_dtype(one) for one in found if hasattr(one, "from_config")}


def without_dtype(initializer):
    def from_config(made, config):
        return initializer(**{name: value for name, value in config.items() if name != "dtype"})

    return type(initializer.__name__, (initializer,), {"from_config": classmethod(from_config)})


def lambda_class(objects):
    """What makes the layers of the class Lambda: ours by their names, else Keras's own."""

    class Lambda(keras.layers.Layer):
        @classmethod
        def from_config(cls, config, custom_objects=None):
            name = config["name"]
            for ending in [ending for ending in LAMBDAS if name.endswith(ending)]:
                if LAMBDAS[ending] in objects:
                    return objects[LAMBDAS[ending]](name=name)
            if name in objects:
                return keras.layers.Lambda(objects[name], name=name, arguments=config.get("arguments"))
            try:
                return keras.layers.Lambda.from_config(config)
            except Exception as error:
                raise UnknownLambda(name) from error

    return Lambda


def explained(path, error):
    """The message for a file that does not load."""
    cause = error
    while cause is not None and not isinstance(cause, UnknownLambda):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return (
            f"'{path}': the function of the Lambda layer {cause.args[0]!r} is bytecode of the Python that saved it "
            f"and is not run. Pass custom_objects={{{cause.args[0]!r}: its function}}, or {INSTEAD % path}"
        )
    reason = " ".join(str(error).split())[:LONGEST].rstrip(".")
    return (
        f"'{path}' was saved by Keras 2 and does not load: {reason}. Pass your own classes and losses "
        f"in custom_objects, load with compile=False, or {INSTEAD % path}"
    )
