"""Keras's JAX trainer, changed so that the model always keeps its weights.

During `predict`, `evaluate` and an epoch of `fit`, Keras takes the values out of the variables, and puts them back at
the end. A call that raises, or a second thread, leaves the model without weights. Here the variables keep their
values, `predict` and `evaluate` do not donate them to XLA, and each thread has its own state.
`fit` still donates, so that a step replaces the weights in place. Callbacks, and code after an interrupt, see the
newest weights.
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
    """An attribute of models with a separate value in each thread."""

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
    """Gives the newest weights to the callbacks after it: reading `self.model` assigns them to the variables."""

    def on_train_batch_end(self, batch, logs=None):
        return self.model


@extends(Model, "fit")
def fit(original, self, *args, **kwargs):
    """Put CurrentWeights before the callbacks, so that each of them reads the newest weights."""
    given = inspect.signature(original).bind(self, *args, **kwargs)
    callbacks = given.arguments.get("callbacks")
    if callbacks and not isinstance(callbacks, keras.callbacks.CallbackList):
        given.arguments["callbacks"] = [CurrentWeights(), *keras.tree.flatten(callbacks)]
    return original(*given.args, **given.kwargs)


@extends(Model, "make_train_function")
def make_train_function(original, self, force=False):
    """Store the new weights of each step before an interrupt can lose them."""
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
    """Context that delays Ctrl-C until its end. A second Ctrl-C raises at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts = []

    def on_interrupt(number, frame):
        if interrupts:
            raise KeyboardInterrupt
        interrupts.append(number)

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, on_interrupt)
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
    """The test step, whose results omit the trainable variables: XLA would copy them."""

    def step(state, data):
        logs, (_, *changed) = model.test_step(state, data)
        return logs, changed

    return step


def compiled_without_donation(model, step):
    if model.run_eagerly or not model.jit_compile:
        return step
    return jax.jit(step)


def joined(outputs):
    """Concatenate the outputs of batches. Without a batch it raises StopIteration, as Keras expects."""
    if not outputs:
        raise StopIteration
    if len(outputs) == 1:
        return outputs[0]
    return keras.tree.map_structure(lambda *parts: jax.numpy.concatenate(parts), *outputs)
