"""Preparation of the inputs of `fit`, `evaluate`, `predict` and the methods for one batch.

Nested lists of numbers become arrays. Ids beyond the table of an Embedding raise an error on every backend: JAX would
give NaN, XLA the last row. On TensorFlow, batches of a generator may have any length: Keras would fix the lengths of
the first two batches. `fit_generator`, `evaluate_generator` and `predict_generator` exist as in Keras 2.

`BERT4KERAS3_CHECK_IDS=0` turns the check of ids off.
"""

from __future__ import annotations

import inspect
import itertools
import threading
import types
import weakref
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np

from bert4keras3.backend.extensions import extends
from bert4keras3.backend.flavour import is_on
from bert4keras3.backend.keras3.private import nodes_of

Model = keras.Model
framework = keras.config.backend()
checks_ids = is_on("BERT4KERAS3_CHECK_IDS", "1")
WITH_TARGETS = ("fit", "evaluate", "train_on_batch", "test_on_batch")
USES_METRICS = ("evaluate", "test_on_batch")  # a model has one set of metrics
WORKERS = ("max_queue_size", "workers", "use_multiprocessing")  # arguments of Keras 2 alone

locks: Any = weakref.WeakKeyDictionary()  # {model: lock of its metrics}
known_tables: Any = weakref.WeakKeyDictionary()  # {model: its tables}


def extend_method(name):
    @extends(Model, name)
    def method(original, self, *args, **kwargs):
        kwargs = {key: value for key, value in kwargs.items() if key not in WORKERS}
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has prepared this data
            given = inspect.signature(original).bind(self, *args, **kwargs)
            prepare(self, given.arguments, name)
            args, kwargs = given.args[1:], given.kwargs
        with locks.setdefault(self, threading.RLock()) if name in USES_METRICS else nullcontext():
            try:
                return original(self, *args, **kwargs)
            except Exception:
                if framework == "tensorflow" and name in WITH_TARGETS:
                    # a tf.function may make variables in its first call alone; if that call failed, a new one is needed
                    self.train_function = self.test_function = None
                raise


for _name in ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch"):
    extend_method(_name)


def add_generator_method(name):
    @extends(Model, name + "_generator")
    def method(original: Any, self: Any, generator: Any, *args: Any, **kwargs: Any) -> Any:
        """Method of Keras 2: the method without `_generator` in its name, for batches of a generator."""
        # The second argument of Keras 2 is the number of steps.
        of_fit = "steps_per_epoch", "epochs", "verbose", "callbacks"
        kwargs.update(zip(of_fit if name == "fit" else ("steps", "callbacks"), args))
        return getattr(self, name)(generator, **kwargs)


for _name in ("fit", "evaluate", "predict"):
    if not hasattr(Model, _name + "_generator"):
        add_generator_method(_name)


@extends(Model, "compute_loss", "compute_metrics")
def with_named_targets(original, self, x=None, y=None, y_pred=None, *args, **kwargs):
    """Accept a dict of targets by the names of outputs for every model, as from `to_dataset(names=…)`."""
    return original(self, x, targets_like(self, y, y_pred), y_pred, *args, **kwargs)


def targets_like(model, y, y_pred):
    """Convert a dict of targets to the structure of the outputs, unless its names are unknown."""
    names = getattr(model, "output_names", None)
    if not isinstance(y, dict) or isinstance(y_pred, dict) or not names:
        return y
    if len(y) == 1 and len(names) == 1:
        (targets,) = y.values()
        return targets if not isinstance(y_pred, (list, tuple)) else [targets]
    return [y[name] for name in names] if set(names) <= set(y) else y


def prepare(model, arguments, method):
    """Replace x and the x of validation_data in the arguments of a method by prepared inputs."""
    x = arguments.get("x")
    if x is not None:
        arguments["x"] = prepared(model, x, arguments.get("y") if method in WITH_TARGETS else None, method)
    validation = arguments.get("validation_data")
    if isinstance(validation, types.GeneratorType):
        arguments["validation_data"] = prepared(model, validation, None, method)
    elif isinstance(validation, (tuple, list)) and validation:
        x = prepared(model, validation[0], validation[1] if len(validation) > 1 else None, method)
        arguments["validation_data"] = (x, *validation[1:])


def prepared(model, x, y, method):
    checks = Checks(model, method) if checks_ids else None
    if isinstance(x, types.GeneratorType):
        batches = x if not checks else checks.passing(x)
        return open_dataset(model, batches) if framework == "tensorflow" else batches
    x = as_arrays(x)
    if checks:
        checks.check(x, y)
    return x


def as_arrays(x):
    """Convert a list of nested lists of numbers to a list of arrays; return anything else unchanged."""
    if not isinstance(x, list) or not x or not all(isinstance(one, list) for one in x):
        return x
    return [np.array(one) for one in x]


class Checks:
    """Checks of the ids of each input against the layers of a model, and of labels against its loss."""

    def __init__(self, model, method):
        self.model = model
        self.method = method
        self.tables = tables_of(model)
        self.classes = classes_of(model) if method in WITH_TARGETS else []

    def passing(self, batches):
        for batch in batches:
            parts = batch if isinstance(batch, tuple) else (batch,)
            self.check(parts[0], parts[1] if len(parts) > 1 else None)
            yield batch

    def check(self, x, y):
        """Raise ValueError for an id beyond its table, or a label beyond the classes."""
        named = x if isinstance(x, dict) else None
        arrays = keras.tree.flatten(x)
        for place, (name, size, layer) in self.tables.items():
            array = named.get(name) if named else arrays[place] if place < len(arrays) else None
            self.check_range(array, size, f"input {name!r}", f"layer {layer!r}")
        if y is not None and self.classes:
            labels = [y] if len(self.classes) == 1 else keras.tree.flatten(y)
            for array, (name, size) in zip(labels, self.classes):
                self.check_range(
                    array, size, f"labels of output {name!r}", "loss sparse_categorical_crossentropy"
                )

    def check_range(self, array, size, what, user):
        is_checked = size is not None and isinstance(array, np.ndarray) and array.size
        if not is_checked or array.dtype.kind not in "biuf":
            return
        low, high = array.min(), array.max()
        if 0 <= low and high < size or np.isnan(high):
            return
        wrong = low if low < 0 else high
        place = tuple(int(i) for i in np.argwhere(array == wrong)[0])
        raise ValueError(
            f"{self.method} of model {self.model.name!r}: the {what} has the id {int(wrong)} at {place}, but {user} "
            f"knows ids from 0 to {size - 1}. Check the vocabulary and the configuration. "
            "BERT4KERAS3_CHECK_IDS=0 turns this check off."
        )


def tables_of(model):
    """{place of an input: (its name, number of ids in its smallest table, name of the table's layer)}"""
    if model not in known_tables:
        known_tables[model] = find_tables(model) if hasattr(model, "operations") else {}
    return known_tables[model]


def find_tables(model):
    tables = {}
    for place, tensor in enumerate(model.inputs):
        sizes = list(readers(model, tensor))
        if sizes:
            size, layer = min(sizes)
            tables[place] = tensor.name, size, layer
    return tables


def readers(model, tensor):
    """Pairs (number of ids, name) of the layers that look up this input, inner models included."""
    for node in nodes_of(model):
        layer = node.operation
        for place in [i for i, one in enumerate(node.input_tensors) if one is tensor]:
            if hasattr(layer, "operations"):
                yield from readers(layer, layer.inputs[place])
            elif node.arguments.kwargs.get("mode") == "dense":
                continue  # the tied output projection reads no ids
            elif table_size(layer, place) is not None:
                yield table_size(layer, place), layer.name


def table_size(layer, place):
    """Number of ids in the table for the input of a layer at this place; None without a table."""
    if not hasattr(layer, "input_dim") or not hasattr(layer, "output_dim"):
        return None
    if isinstance(layer, keras.layers.Embedding):
        return layer.input_dim if place == 0 else None
    if getattr(layer, "custom_position_ids", False) and place == 1:
        return layer.input_dim ** (2 if layer.hierarchical else 1)
    return None


def classes_of(model) -> list[Any]:
    """(name, number of classes) of each output whose loss is sparse_categorical_crossentropy; [] if unknown."""
    loss = getattr(model, "loss", None)
    losses = keras.tree.flatten(loss) if isinstance(loss, (list, tuple)) else [loss]
    outputs = getattr(model, "outputs", None) or []
    if isinstance(loss, dict) or len(losses) != len(outputs):
        return []
    names = getattr(model, "output_names", None) or [output.name for output in outputs]  # of a Sequential
    return [
        (name, output.shape[-1] if is_sparse(one) else None)
        for name, output, one in zip(names, outputs, losses)
    ]


def is_sparse(loss):
    """Whether a loss takes class numbers, and ignores none of them."""
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return getattr(loss, "ignore_class", None) is None
    return loss in ("sparse_categorical_crossentropy", keras.losses.sparse_categorical_crossentropy)


def open_dataset(model, batches):
    """Convert batches to a `tf.data.Dataset` with unknown lengths, unless a part of a batch is no array.

    Inputs have the sizes of the model's inputs. A size of targets is unknown, unless it is 1 in the first two batches:
    a loss may need an axis of size 1.
    """
    import tensorflow as tf

    first = list(itertools.islice(batches, 2))
    batches = itertools.chain(first, batches)
    if not first or not isinstance(first[0], tuple):
        return (batch for batch in batches)
    count = len(first[0])
    while count and first[0][count - 1] is None:
        count -= 1
    if any(one is None or isinstance(one, (str, bytes)) for one in keras.tree.flatten(first[0][:count])):
        return (batch for batch in batches)

    def numbers(batch):
        return keras.tree.map_structure(np.asarray, as_tuples(batch[:count]))

    def specification(*arrays):
        sizes = zip(*(array.shape[1:] for array in arrays))
        return tf.TensorSpec([None, *(1 if set(size) == {1} else None for size in sizes)], arrays[0].dtype)

    signature = list(keras.tree.map_structure(specification, *map(numbers, first)))
    inputs = keras.tree.flatten(signature[0])
    known = [tensor.shape[1:] for tensor in getattr(model, "inputs", None) or []]
    if [len(one.shape) - 1 for one in inputs] == [len(shape) for shape in known]:
        inputs = [tf.TensorSpec([None, *shape], one.dtype) for one, shape in zip(inputs, known)]
        signature[0] = keras.tree.pack_sequence_as(signature[0], inputs)
    dataset = tf.data.Dataset.from_generator(lambda: map(numbers, batches), output_signature=tuple(signature))
    return dataset.prefetch(tf.data.AUTOTUNE)


def as_tuples(nested):
    """Convert lists of arrays to tuples, because tf.data would stack the arrays of a list."""
    if isinstance(nested, (list, tuple)) and not all(np.isscalar(one) for one in nested):
        return tuple(as_tuples(one) for one in nested)
    return nested
