"""`load_model` for whole models in HDF5 that bert4keras saved on Keras 2.

Such a file names our layers without a package, and gives initializers a dtype. It holds the functions of Lambda layers
as bytecode of the Python that saved it.
"""

from __future__ import annotations

import os
from typing import Any, Callable

import h5py

from bert4keras3.backend.package import keras

PACKAGE = "bert4keras3>"
# {name of a Lambda layer in bert4keras and its published scripts: our layer with the same function}
LAMBDAS = {
    "Attention-LM-Mask": "CausalMask",
    "Attention-UniLM-Mask": "UniLMMask",
    "CLS-token": "FirstToken",
    "Pooler": "FirstToken",
}
LONGEST = 300  # characters of Keras's error in our message


class UnknownLambda(Exception):
    """A Lambda layer whose function cannot be loaded; the argument is the name of the layer."""


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
    """Load a model that bert4keras, or Keras 2 alone, saved in HDF5.

    Args:
        path: the file; on Keras 3 its name ends in .h5 or .hdf5.
        custom_objects: classes and functions by name, as for Keras, and functions of Lambda layers by the layer's name.
        compile: whether to compile the model as the file says.
        load: Keras's own `load_model`, if `keras.models.load_model` calls this function.

    Raises:
        ValueError: a layer cannot be created, or a loss is unknown; the message says what to do.
    """
    path = os.fspath(path)
    # our layers and functions by the names that bert4keras gives them
    objects = {name.replace(PACKAGE, ""): one for name, one in keras.utils.get_custom_objects().items()}
    objects.update(initializers_without_dtype())
    objects.update(custom_objects or {})
    objects["Lambda"] = lambda_class(objects)
    try:
        return (load or keras.models.load_model)(path, custom_objects=objects, compile=compile)
    except Exception as error:
        raise ValueError(explained(path, error)) from error


def initializers_without_dtype():
    """Keras's initializers by name, which ignore the dtype that tf.keras saves in their configurations."""
    found = [getattr(keras.initializers, name) for name in dir(keras.initializers)]
    return {one.__name__: without_dtype(one) for one in found if hasattr(one, "from_config")}


def without_dtype(initializer):
    def from_config(made, config):
        return initializer(**{name: value for name, value in config.items() if name != "dtype"})

    return type(initializer.__name__, (initializer,), {"from_config": classmethod(from_config)})


def lambda_class(objects):
    """A class Lambda whose `from_config` returns our layer for a name of LAMBDAS, else Keras's Lambda."""

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
    """The message for a file that cannot be loaded."""
    cause = error
    while cause is not None and not isinstance(cause, UnknownLambda):
        cause = cause.__cause__ or cause.__context__
    instead = f"build the model with build_transformer_model and your own layers, and call model.load_weights({path!r})"
    if cause is not None:
        name = cause.args[0]
        return (
            f"'{path}': the function of the Lambda layer {name!r} is bytecode of the Python that saved it, which is "
            f"not run. Pass custom_objects={{{name!r}: its function}}, or {instead}"
        )
    reason = " ".join(str(error).split())[:LONGEST].rstrip(".")
    return (
        f"'{path}' was saved by Keras 2 and cannot be loaded: {reason}. Pass your own classes and losses in "
        f"custom_objects, load with compile=False, or {instead}"
    )
