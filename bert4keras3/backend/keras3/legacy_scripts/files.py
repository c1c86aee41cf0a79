"""Files of any name for models and their weights: `model.save_weights("best_model.weights")`.

Keras 3 takes the format of a file from its name, and refuses unknown names. Here Keras handles the names that it knows.
Any other file is saved in Keras's own format and then renamed. When it is loaded, its first bytes show the format.
"""

import os
import shutil
import tempfile
from contextlib import contextmanager, nullcontext
from functools import partial

import h5py
import keras

from bert4keras3.backend.extensions import extends
from bert4keras3.backend.keras3.legacy_scripts.saved_compile import compile_from_h5

WEIGHTS_NAMES = (".weights.h5", ".weights.json")
MODEL_NAMES = (".keras", ".h5", ".hdf5")
REMOTE = "://"  # in names of remote files


@extends(keras.Model, "save")
def save(original, self, filepath, overwrite=True, **kwargs):
    """Save the whole model: in HDF5 for .h5, .hdf5 or save_format="h5", else in Keras's own format."""
    save_format = kwargs.pop("save_format", None)
    if is_known(filepath, MODEL_NAMES) or "zipped" in kwargs:
        return original(self, filepath, overwrite=overwrite, **kwargs)
    ending = ".h5" if save_format == "h5" else ".keras"
    with renamed_later(filepath, ending, overwrite) as name:
        original(self, name, **kwargs)


@extends(keras.Model, "save_weights")
def save_weights(original, self, filepath, overwrite=True, **kwargs):
    """Save the weights under any name, in the format that Keras calls .weights.h5."""
    kwargs.pop("save_format", None)
    if is_known(filepath, WEIGHTS_NAMES):
        return original(self, filepath, overwrite=overwrite, **kwargs)
    with renamed_later(filepath, ".weights.h5", overwrite) as name:
        original(self, name, **kwargs)


@extends(keras.Model, "load_weights")
def load_weights(original, self, filepath, *args, **kwargs):
    """Load weights that Keras 3 or Keras 2 saved, from a file of any name."""
    from bert4keras3.backend.object_weights import is_object_checkpoint, load_object_weights

    require_file(filepath)
    if not os.path.exists(filepath) and is_object_checkpoint(filepath):
        return load_object_weights(self, filepath)
    if is_known(filepath, ".weights.json") or not os.path.isfile(filepath):
        return original(self, filepath, *args, **kwargs)
    with linked(filepath, weights_ending(filepath)) as name:
        return original(self, name, *args, **kwargs)


@extends(keras.models, "load_model")
@extends(keras.saving, "load_model")
def load_model(original, filepath, custom_objects=None, compile=True, **kwargs):
    """Load a model that Keras 3 or Keras 2 saved, from a file of any name."""
    require_file(filepath)
    is_file = os.path.isfile(filepath)
    is_h5 = is_file and h5py.is_hdf5(filepath)
    is_accepted = not is_file or is_known(filepath, MODEL_NAMES)
    with nullcontext(filepath) if is_accepted else linked(filepath, ".h5" if is_h5 else ".keras") as name:
        if is_h5:
            return load_h5(original, filepath, name, custom_objects, compile, **kwargs)
        return original(name, custom_objects=custom_objects, compile=compile, **kwargs)


def load_h5(original, filepath, name, custom_objects, compile, **kwargs):
    """Load a model from an HDF5 file; `name` is a name of the file that Keras accepts."""
    from bert4keras3.backend.legacy_models import is_legacy_model, load_legacy_model

    def load(path, custom_objects, compile):
        return original(name, custom_objects=custom_objects, compile=compile, **kwargs)

    load_kind = partial(load_legacy_model, load=load) if is_legacy_model(filepath) else load
    model = load_kind(filepath, custom_objects=custom_objects, compile=False)
    if compile:
        compile_from_h5(model, filepath, custom_objects)
    return model


@extends(keras.callbacks.ModelCheckpoint, "__init__")
def checkpoint_init(original, self, filepath, *args, **kwargs):
    """Write checkpoints under any name."""
    given = os.fspath(filepath)
    only_weights = kwargs.get("save_weights_only", args[3] if len(args) > 3 else False)
    known = WEIGHTS_NAMES[:1] if only_weights else MODEL_NAMES[:2]
    original(self, given if given.endswith(known) else given + known[0], *args, **kwargs)
    self.filepath = given


def require_file(filepath):
    """Raise FileNotFoundError for a path that does not exist; the message lists similar names."""
    from bert4keras3.backend.object_weights import is_object_checkpoint, missing_weights

    path = os.fspath(filepath)
    if REMOTE not in path and not os.path.exists(path) and not is_object_checkpoint(path):
        raise missing_weights(path)


def is_known(filepath, endings):
    return os.fspath(filepath).endswith(endings)


def weights_ending(filepath):
    """The ending that Keras expects for this file of weights."""
    if not h5py.is_hdf5(filepath):
        return ".keras"
    with h5py.File(filepath, "r") as file:
        is_legacy = "layer_names" in file.attrs or "model_weights" in file
    return ".h5" if is_legacy else ".weights.h5"


@contextmanager
def renamed_later(filepath, ending, overwrite):
    """Context with a temporary name that Keras accepts; at the end the file gets its own name."""
    path = os.fspath(filepath)
    if not overwrite and os.path.exists(path):
        raise FileExistsError(f"{path} exists: pass overwrite=True or another name")
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(path))) as beside:
        name = os.path.join(beside, "model" + ending)
        yield name
        os.replace(name, path)


@contextmanager
def linked(filepath, ending):
    """Context with a second name of the file that Keras accepts."""
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "model" + ending)
        try:
            os.symlink(os.path.abspath(os.fspath(filepath)), name)
        except OSError:  # on systems that need a permission for links
            shutil.copyfile(os.fspath(filepath), name)
        yield name
