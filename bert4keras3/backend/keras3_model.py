"""keras.Model with what users of Keras 2 know: files of any name, `model.save_weights("best_model.weights")`, and
layers that call `add_metric`.

Keras 3 tells the format of a file by its name alone and refuses names that it does not know. Here a name that
Keras knows goes to Keras as it is; any other file is written in Keras's own format and then renamed, and on
loading its first bytes say what it is. Keras itself is not changed.
"""

import functools
import os
import shutil
import tempfile
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import h5py
import keras
import numpy as np

from bert4keras3.backend import keras3_backend
from bert4keras3.backend.keras3_calls import CompiledCalls

WEIGHTS_NAMES = (".weights.h5", ".weights.json", ".keras")
MODEL_NAMES = (".keras", ".h5", ".hdf5")


# The step that is being traced on JAX, if any: the values of its weights, the metrics that calls added.
steps: list = []


# The models that are in `fit` on JAX, which keeps their variables to itself between the batches.
fitted: list = []


class JaxModel(CompiledCalls):
    """Lets metrics be added in calls and use weights. Keras on JAX hands a step all numbers as arguments, but its
    calls no metrics and its metrics no weights.
    """

    def fit(self, *args, **kwargs):
        fitted.append(self)
        try:
            return super().fit(*args, **kwargs)
        finally:
            fitted.remove(self)

    def train_step(self, state, data):
        with self.traced(state):
            return super().train_step(state, data)

    def test_step(self, state, data):
        with self.traced(state):
            return super().test_step(state, data)

    @contextmanager
    def traced(self, state):
        variables = list(zip(self.trainable_variables, state[0]))
        variables += zip(self.non_trainable_variables, state[1])
        steps.append(SimpleNamespace(variables=variables, added_metrics=[]))
        try:
            yield
        finally:
            steps.pop()

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        for step in steps[-1:]:
            added, step.added_metrics = step.added_metrics, []  # a step may compute its loss more than once
            for metric, value in added:
                metric.update_state(value)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if not steps:
            return super().compute_metrics(x, y, y_pred, sample_weight)
        known = steps[-1].variables + [(variable, variable.value) for variable in self.metrics_variables]
        with keras.StatelessScope(state_mapping=known) as scope:
            results = super().compute_metrics(x, y, y_pred, sample_weight)
        for variable in self.metrics_variables:
            variable.assign(scope.get_current_value(variable))
        return results


def with_current_values(method):
    """Decorator of a method of an optimizer that reads and sets variables, in callbacks too."""

    @functools.wraps(method)
    def wrapped(optimizer, *args, **kwargs):
        for model in fitted:
            model.jax_state_sync()
        if any(variable._value is None for variable in optimizer.variables):
            raise RuntimeError(
                "%s: within an epoch JAX keeps the variables to itself. Read self.model in the callback first, or "
                "make the model with keras.models.Model of bert4keras3.backend" % optimizer.name
            )
        return method(optimizer, *args, **kwargs)

    return wrapped


def add_metric(metric, value):
    """Update a metric in the call of a layer."""
    if keras.config.backend() != "jax":
        metric.update_state(value)
    elif steps:
        steps[-1].added_metrics.append((metric, value))


class TensorFlowModel(CompiledCalls):
    """Predicts what is one batch without a tf.data pipeline, which takes longer to set up than a short text to read."""

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        arrays = keras.tree.flatten(x)
        if steps is not None or callbacks or not is_one_batch(arrays, batch_size or 32):
            return super().predict(x, batch_size, verbose, steps, callbacks)
        shown = keras.callbacks.CallbackList(
            add_progbar=verbose != 0, verbose=verbose, epochs=1, steps=1, model=self
        )
        shown.on_predict_begin()
        shown.on_predict_batch_begin(0)
        outputs = self.predict_on_batch(keras.tree.map_structure(as_batch, x))
        shown.on_predict_batch_end(0, {"outputs": outputs})
        shown.on_predict_end()
        return outputs


def is_one_batch(arrays, batch_size):
    """Whether these are arrays of numbers with equally many rows, no more than a batch has."""
    if not all(isinstance(one, np.ndarray) and one.ndim and one.dtype.kind in "biuf" for one in arrays):
        return False
    sizes = {len(one) for one in arrays}
    return len(sizes) == 1 and 0 < sizes.pop() <= batch_size


def as_batch(array):
    """Array → tensor, in the dtype that Keras gives it in a batch."""
    is_float = array.dtype.kind == "f"
    return keras.ops.convert_to_tensor(array, dtype=keras.config.floatx() if is_float else None)


def base_of_models():
    """What a model of the framework needs beside what Keras gives it."""
    if keras.config.backend() == "openvino":
        from bert4keras3.backend.keras3_openvino import OpenVINOModel

        return OpenVINOModel
    return {"jax": JaxModel, "tensorflow": TensorFlowModel}.get(keras.config.backend(), CompiledCalls)


class Model(base_of_models()):  # type: ignore[misc]
    """keras.Model whose files may have any name, and whose layers may call `add_metric`."""

    def save(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> Any:
        """Save the whole model: HDF5 under names that end in .h5 or .hdf5, else Keras's own format."""
        if is_known(filepath, MODEL_NAMES) or "zipped" in kwargs:
            return super().save(filepath, overwrite=overwrite, **kwargs)
        with renamed_later(filepath, ".keras", overwrite) as name:
            super().save(name, **kwargs)

    def save_weights(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> Any:
        """Save the weights in the format that Keras calls .weights.h5."""
        if is_known(filepath, WEIGHTS_NAMES[:2]):
            return super().save_weights(filepath, overwrite=overwrite, **kwargs)
        with renamed_later(filepath, ".weights.h5", overwrite) as name:
            super().save_weights(name, **kwargs)

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> Any:
        """Load weights that this class, Keras 3 or Keras 2 saved, the last as HDF5."""
        if is_known(filepath, WEIGHTS_NAMES) or not os.path.isfile(filepath):
            return super().load_weights(filepath, *args, **kwargs)
        with linked(filepath, weights_ending(filepath)) as name:
            return super().load_weights(name, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; nested lists of numbers are arrays too: `predict([[token_ids], [segment_ids]])`."""
        return super().predict(as_arrays(x), *args, **kwargs)


def as_arrays(x):
    """A list of nested lists of numbers as a list of arrays; anything else as it is."""
    if not isinstance(x, list) or not x or not all(isinstance(one, list) for one in x):
        return x
    return [np.array(one) for one in x]


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
    backend=keras3_backend,
    Model=Model,
    models=Replacing(keras.models, Model=Model, load_model=load_model),
)
