"""Keras's JAX trainer with the weights left in the model, whatever happens to a call.

Keras takes the values out of the variables for the length of `predict`, `evaluate` and an epoch of `fit`, and puts
them back at the end: a call that raises, or a second thread, leaves the model without weights. Here the variables keep
their values, `predict` and `evaluate` do not donate them to XLA, and each thread has its own state of a call.
`fit` still donates: a step replaces the old weights in place. Its callbacks, its end and an interrupt see the newest.
"""

import inspect
import itertools
import signal
import threading
import weakref
from contextlib import contextmanager

import jax
import keras

from bert4keras3.backend.extensions import extends, set_attribute
from bert4keras3.backend.keras3 import private

Model = keras.Model
local = threading.local()


class PerThread:
    """An attribute of models that has a value of its own in each thread."""

    def __init__(self, name, default):
        self.name = name
        self.default = default

    def values(self):
        if not hasattr(local, self.name):
            setattr(local, self.name, weakref.WeakKeyDictionary())
        return getattr(local, self.name)

    def __get__(self, model, owner=None):
        return self if model is None else self.values().get(model, self.default)

    def __set__(self, model, value):
        self.values()[model] = value


set_attribute(Model, private.PURGE, lambda self, **kinds: None)
set_attribute(Model, private.STATE, PerThread("jax_state", None))
set_attribute(Model, private.STATE_IS_SYNCED, PerThread("jax_state_synced", True))


class CurrentWeights(keras.callbacks.Callback):
    """Shows the newest weights to the callbacks behind it: reading `self.model` puts them into the variables."""

    def on_train_batch_end(self, batch, logs=None):
        return self.model


@extends(Model, "fit")
def fit(original, self, *args, **kwargs):
    """Callbacks read the newest weights, whichever variable leads them to the model."""
    given = inspect.signature(original).bind(self, *args, **kwargs)
    callbacks = given.arguments.get("callbacks")
    if callbacks and not isinstance(callbacks, keras.callbacks.CallbackList):
        given.arguments["callbacks"] = [CurrentWeights(), *keras.tree.flatten(callbacks)]
    return original(*given.args, **given.kwargs)


@extends(Model, "make_train_function")
def make_train_function(original, self, force=False):
    """The new weights are noted before an interrupt can lose them."""
    if self.train_function is not None and not force:
        return
    original(self, force=True)
    run = self.train_function
    names = "trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables"

    def train_function(state, iterator):
        batches = list(itertools.islice(iterator, self.steps_per_execution))
        with interrupt_deferred():
            logs, state = run(state, iter(batches))
            private.set_state(self, dict(zip(names, state)))
        return logs, state

    self.train_function = train_function


@contextmanager
def interrupt_deferred():
    """Ctrl-C counts at the end of the block; a second one counts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts = []

    def note(number, frame):
        if interrupts:
            raise KeyboardInterrupt
        interrupts.append(number)

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt


@extends(Model, "make_predict_function")
def make_predict_function(original, self, force=False):
    if self.predict_function is None or force:
        step = compiled_without_donation(self, lambda state, data: self.predict_step(state, data))

        def run(state, iterator):
            outputs = []
            for data in itertools.islice(iterator, self.steps_per_execution):
                batch, non_trainable_variables = step(state, data)
                state = state[0], non_trainable_variables
                outputs.append(batch)
            return joined(outputs), state

        self.predict_function = run


@extends(Model, "make_test_function")
def make_test_function(original, self, force=False):
    if self.test_function is None or force:
        step = compiled_without_donation(self, changed_by_test_step(self))

        def run(state, iterator):
            for data in itertools.islice(iterator, self.steps_per_execution):
                logs, changed = step(state, data)
                state = (state[0], *changed)
            return logs, state

        self.test_function = run


def changed_by_test_step(model):
    """The test step without the trainable variables among its results, which XLA would copy."""

    def step(state, data):
        logs, (_, *changed) = model.test_step(state, data)
        return logs, changed

    return step


def compiled_without_donation(model, step):
    if model.run_eagerly or not model.jit_compile:
        return step
    return jax.jit(step)


def joined(outputs):
    """Outputs of several batches as those of one; StopIteration if there was none, as Keras expects."""
    if not outputs:
        raise StopIteration
    if len(outputs) == 1:
        return outputs[0]
    return keras.tree.map_structure(lambda *parts: jax.numpy.concatenate(parts), *outputs)
