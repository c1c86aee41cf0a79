"""Saving on Keras 3 under any file name, as users of Keras 2 do: `model.save_weights("best_model.weights")`.

Keras 3 tells the format of a file by its name alone and refuses names that it does not know. Here a name that
Keras knows goes to Keras as it is; any other file is written in Keras's own format and then renamed, and on
loading its first bytes say what it is. Keras itself is not changed.
"""

import os
import shutil
import tempfile
from contextlib import contextmanager
from types import ModuleType

import h5py
import keras

WEIGHTS_NAMES = (".weights.h5", ".weights.json", ".keras")
MODEL_NAMES = (".keras", ".h5", ".hdf5")


class Model(keras.Model):
    """keras.Model whose files may have any name."""

    def save(self, filepath, overwrite=True, **kwargs):
        """Save the whole model: HDF5 under names that end in .h5 or .hdf5, else Keras's own format."""
        if is_known(filepath, MODEL_NAMES) or "zipped" in kwargs:
            return super().save(filepath, overwrite=overwrite, **kwargs)
        with renamed_later(filepath, ".keras", overwrite) as name:
            super().save(name, **kwargs)

    def save_weights(self, filepath, overwrite=True, **kwargs):
        """Save the weights in the format that Keras calls .weights.h5."""
        if is_known(filepath, WEIGHTS_NAMES[:2]):
            return super().save_weights(filepath, overwrite=overwrite, **kwargs)
        with renamed_later(filepath, ".weights.h5", overwrite) as name:
            super().save_weights(name, **kwargs)

    def load_weights(self, filepath, *args, **kwargs):
        """Load weights that this class, Keras 3 or Keras 2 saved, the last as HDF5."""
        if is_known(filepath, WEIGHTS_NAMES) or not os.path.isfile(filepath):
            return super().load_weights(filepath, *args, **kwargs)
        with linked(filepath, weights_ending(filepath)) as name:
            return super().load_weights(name, *args, **kwargs)


keras.saving.register_keras_serializable("bert4keras3")(Model)


def load_model(filepath, *args, **kwargs):
    """`keras.models.load_model`, of a file with any name."""
    if is_known(filepath, MODEL_NAMES) or not os.path.isfile(filepath):
        return keras.models.load_model(filepath, *args, **kwargs)
    with linked(filepath, ".h5" if h5py.is_hdf5(filepath) else ".keras") as name:
        return keras.models.load_model(name, *args, **kwargs)


def is_known(filepath, endings):
    return str(filepath).endswith(endings)


def weights_ending(filepath):
    """What Keras would call this file of weights."""
    if not h5py.is_hdf5(filepath):
        return ".keras"
    with h5py.File(filepath, "r") as file:
        is_legacy = "layer_names" in file.attrs or "model_weights" in file
    return ".h5" if is_legacy else ".weights.h5"


@contextmanager
def renamed_later(filepath, ending, overwrite):
    """A name beside the file that Keras accepts; what is written there becomes the file."""
    if not overwrite and os.path.exists(filepath):
        raise FileExistsError("%s exists: pass overwrite=True or another name" % filepath)
    folder = os.path.dirname(os.path.abspath(str(filepath)))
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        name = os.path.join(beside, "model" + ending)
        yield name
        os.replace(name, str(filepath))


@contextmanager
def linked(filepath, ending):
    """A second name of a file that Keras accepts."""
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "model" + ending)
        try:
            os.symlink(os.path.abspath(str(filepath)), name)
        except OSError:  # where links need a permission
            shutil.copyfile(str(filepath), name)
        yield name


class Replacing(ModuleType):
    """A module with a few names of our own; all others, and the module itself, stay what they are."""

    def __init__(self, module, **names):
        super().__init__(module.__name__, module.__doc__)
        self.__dict__.update(names, replaced=module)

    def __getattr__(self, name):
        return getattr(self.replaced, name)

    def __dir__(self):
        return dir(self.replaced)


keras_with_our_model = Replacing(
    keras,
    Model=Model,
    models=Replacing(keras.models, Model=Model, load_model=load_model),
)
