"""`add_metric` of layers, which Keras 3 lacks, and on JAX metrics that read weights.

On JAX, all values are arguments of a step. Keras's step gives no metrics to calls of layers, and no weights to metrics.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace

import keras

from bert4keras3.backend.extensions import extends, set_attribute

Layer, Model = keras.layers.Layer, keras.Model
own_metrics = Layer.metrics

# The step that JAX traces: values of its variables, and (metric, value) pairs that calls of layers added.
traced_step: ContextVar = ContextVar("traced_step", default=None)


def add_metric(layer, value, name=None):
    """Show the mean of a tensor over the batches of an epoch."""
    name = name or layer.name
    if not hasattr(layer, "added_metrics"):
        layer.added_metrics = SimpleNamespace()  # Keras would lock a dict once the layer is built
    if not hasattr(layer.added_metrics, name):
        setattr(layer.added_metrics, name, keras.metrics.Mean(name=name))
    metric, step = getattr(layer.added_metrics, name), traced_step.get()
    if keras.config.backend() != "jax":
        metric.update_state(value)
    elif step is not None:
        step.added_metrics.append((metric, value))


@extends(Layer, "add_metric")
def add_metric_as_keras_2(original, self, value, name=None, aggregation="mean"):
    """Method of Keras 2: show the mean of a tensor over the batches of an epoch."""
    add_metric(self, value, name)


@extends(Layer, "add_loss")
def add_loss(original, self, loss, inputs=None):
    """Accept the argument `inputs` of Keras 2."""
    original(self, loss)


def metrics(self):
    """Keras's own metrics of a layer and the added metrics."""
    return own_metrics.fget(self) + list(vars(getattr(self, "added_metrics", SimpleNamespace())).values())


set_attribute(Layer, "metrics", property(metrics))


def show_weights_and_added_metrics_to_steps():
    """Change Keras's steps on JAX: they update the added metrics, and metrics may read weights."""

    @extends(Model, "train_step", "test_step")
    def step(original, self, state, data):
        with tracing(self, state):
            return original(self, state, data)

    @extends(Model, "compute_loss")
    def compute_loss(original, self, *args, **kwargs):
        step = traced_step.get()
        if step is not None:
            added, step.added_metrics = step.added_metrics, []  # a step may compute its loss more than once
            for metric, value in added:
                metric.update_state(value)
        return original(self, *args, **kwargs)

    @extends(Model, "compute_metrics")
    def compute_metrics(original, self, *args, **kwargs):
        step = traced_step.get()
        if step is None:
            return original(self, *args, **kwargs)
        known = step.variables + [(variable, variable.value) for variable in self.metrics_variables]
        with keras.StatelessScope(state_mapping=known) as scope:
            results = original(self, *args, **kwargs)
        for variable in self.metrics_variables:
            variable.assign(scope.get_current_value(variable))
        return results


@contextmanager
def tracing(model, state):
    variables = list(zip(model.trainable_variables, state[0]))
    variables += zip(model.non_trainable_variables, state[1])
    token = traced_step.set(SimpleNamespace(variables=variables, added_metrics=[]))
    try:
        yield
    finally:
        traced_step.reset(token)


if keras.config.backend() == "jax":
    show_weights_and_added_metrics_to_steps()
