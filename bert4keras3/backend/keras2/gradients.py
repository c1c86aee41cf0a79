"""Gradients outside of an optimizer on Keras 2: in graphs on keras 2.3.1 and TensorFlow 1, else in eager code."""

import tensorflow as tf

from bert4keras3.backend.flavour import FLAVOUR
from bert4keras3.backend.package import keras

K = keras.backend
in_graph = FLAVOUR == "keras2" or not tf.executing_eagerly()
# keras 2.3.1 has its own graph on TensorFlow 2
symbolic = getattr(K, "symbolic", lambda function: function)


def value_gradients(function, variables):
    """Gradients of the scalar `function()` with respect to variables, as NumPy arrays."""
    if in_graph:
        gradients = symbolic(lambda: graph_gradients(function(), variables))()
        return K.function([], gradients)([])
    with tf.GradientTape() as tape:
        result = function()
    return [tf.convert_to_tensor(gradient).numpy() for gradient in tape.gradient(result, variables)]


def graph_gradients(loss, variables):
    return [tf.convert_to_tensor(gradient) for gradient in tf.gradients(loss, variables)]


def step_along(gradient, epsilon):
    return epsilon * gradient / (tf.sqrt(tf.reduce_sum(tf.square(gradient))) + 1e-8)


def perturb_training(model, weight, epsilon):
    """Compute the gradients of each training step at weight + epsilon · gradient / |gradient|."""
    if in_graph:
        perturb_train_function(model, weight, epsilon)
        return
    build_loss(model)
    original = model.train_step

    def train_step(data):
        with tf.GradientTape() as tape:
            outputs = model(batch_of(data)[0], training=True)
            loss = loss_of_batch(model, data, outputs, tracked=False)
        step = step_along(tf.convert_to_tensor(tape.gradient(loss, weight)), epsilon)
        weight.assign_add(step)
        logs = original(data)
        weight.assign_sub(step)
        return logs

    model.train_step = train_step
    model.train_function = None


def perturb_train_function(model, weight, epsilon):
    model._make_train_function()
    original = model.train_function
    sample_weights = [x for x in getattr(model, "sample_weights", None) or [] if x is not None]
    inputs = (
        model._feed_inputs
        + model._feed_targets
        + (model._feed_sample_weights if FLAVOUR == "keras2" else sample_weights)
    )
    step = symbolic(lambda: step_along(graph_gradients(model.total_loss, [weight])[0], epsilon))()
    find_step = K.function(inputs + phase_input(model), [step])

    def train_function(values):
        step = find_step(values)[0]
        K.set_value(weight, K.get_value(weight) + step)
        outputs = original(values)
        K.set_value(weight, K.get_value(weight) - step)
        return outputs

    model.train_function = train_function


def phase_input(model):
    """[the learning phase] if it is an input of the model's train function, else an empty list."""
    if FLAVOUR == "keras2" and not model._uses_dynamic_learning_phase():
        return []
    phase = symbolic(K.learning_phase)()
    return [] if isinstance(phase, int) else [phase]


def batch_of(data):
    """(x, y, sample weights)"""
    return (tuple(data) + (None, None))[:3]


def build_loss(model):
    """Create the variables in which tf.keras sums the losses of an epoch, so that they can be restored."""
    loss = model.compiled_loss
    if not loss.metrics:
        getattr(loss, "build", getattr(loss, "_build", None))(model.output)


def loss_of_batch(model, data, outputs, added=(), tracked=True):
    """Loss of one batch in eager code; `tracked` says whether it counts for the shown loss of the epoch."""
    _, y, sample_weight = batch_of(data)
    sums = [] if tracked else [one for metric in model.compiled_loss.metrics for one in metric.variables]
    before = [tf.identity(one) for one in sums]
    loss = model.compiled_loss(y, outputs, sample_weight, regularization_losses=model.losses + list(added))
    for one, value in zip(sums, before):
        one.assign(value)
    return loss


def penalize_gradients(model, weight, scale):
    """Train with loss + scale / 2 · |gradient|², the gradient of the loss with respect to the weight."""
    if in_graph:
        penalize_train_function(model, weight, scale)
        return
    build_loss(model)

    def train_step(data):
        x, y, sample_weight = batch_of(data)
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                outputs = model(x, training=True)
                loss = loss_of_batch(model, data, outputs, tracked=False)
            gradient = tf.convert_to_tensor(inner.gradient(loss, weight))
            penalty = 0.5 * scale * tf.reduce_sum(tf.square(gradient))
            loss = loss_of_batch(model, data, outputs, [penalty])
        gradients = outer.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        model.compiled_metrics.update_state(y, outputs, sample_weight)
        return {metric.name: metric.result() for metric in model.metrics}

    model.train_step = train_step
    model.train_function = None


def penalize_train_function(model, weight, scale):
    def penalized():
        (gradient,) = graph_gradients(model.total_loss, [weight])
        return model.total_loss + 0.5 * scale * tf.reduce_sum(tf.square(gradient))

    loss = model.total_loss
    model.total_loss = symbolic(penalized)()
    model.train_function = None
    model._make_train_function()
    model.total_loss = loss  # evaluation has no penalty
