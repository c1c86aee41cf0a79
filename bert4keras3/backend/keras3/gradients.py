"""Gradients outside of an optimizer on Keras 3, by the functions of each framework."""

import keras
from keras import ops

framework = keras.config.backend()


def value_gradients(function, variables):
    """Gradients of the scalar `function()` with respect to variables, as NumPy arrays."""
    require_gradients()
    if framework == "jax":
        import jax

        def compute(values):
            with keras.StatelessScope(state_mapping=list(zip(variables, values))):
                return function()

        gradients = jax.grad(compute)([variable.value for variable in variables])
    else:
        gradients = eager_gradients(function, variables)
    return [ops.convert_to_numpy(gradient) for gradient in gradients]


def eager_gradients(function, variables):
    """Gradients of the scalar `function()` with respect to variables, on PyTorch and TensorFlow."""
    values = [variable.value for variable in variables]
    if framework == "torch":
        import torch

        return torch.autograd.grad(function(), values)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        result = function()
    return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(result, values)]


def require_gradients():
    """Raises NotImplementedError on OpenVINO and NumPy."""
    if framework not in ("jax", "torch", "tensorflow"):
        raise NotImplementedError(f"Keras has no gradients on {framework}: take JAX, PyTorch or TensorFlow")


def change_training(model, weight, on_jax, elsewhere):
    """Change how one model trains. Its next `fit` compiles the training step again."""
    require_gradients()
    if framework == "jax":
        hook_loss_of_weight(model, weight, on_jax)
    else:
        elsewhere()
    model.train_function = None


def hook_loss_of_weight(model, weight, change):
    """On JAX: replace the model's loss in training by change(loss_of, value of the weight, gradient of `loss_of`).

    `loss_of(value)` is the original loss for a value of the weight.
    """
    import jax

    place = [variable is weight for variable in model.trainable_variables].index(True)
    original = model.compute_loss_and_updates

    def compute_loss_and_updates(trainable_variables, *arguments, training=False, **options):
        def loss_of(value):
            values = list(trainable_variables)
            values[place] = value
            return original(values, *arguments, training=training, **options)

        value = trainable_variables[place]
        if not training:
            return loss_of(value)
        return change(loss_of, value, jax.value_and_grad(loss_of, has_aux=True))

    model.compute_loss_and_updates = compute_loss_and_updates


def step_along(gradient, epsilon):
    return epsilon * gradient / (ops.sqrt(ops.sum(ops.square(gradient))) + 1e-8)


def perturb_training(model, weight, epsilon):
    """Compute the gradients of each training step at weight + epsilon · gradient / |gradient|."""

    def at_perturbed_value(loss_of, value, gradient_of):
        _, gradient = gradient_of(value)
        return loss_of(value + ops.stop_gradient(step_along(gradient, epsilon)))

    def hook_train_step():
        original = model.train_step

        def train_step(data):
            step = step_along(loss_gradient(model, data, weight), epsilon)
            weight.assign_add(step)
            logs = original(data)
            weight.assign_sub(step)
            return logs

        model.train_step = train_step

    change_training(model, weight, at_perturbed_value, hook_train_step)


def loss_gradient(model, data, weight):
    """Gradient of the training loss of one batch with respect to one weight."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)

    def loss():
        outputs = model(x, training=True)
        return model.compute_loss(x, y, outputs, sample_weight, training=True)

    return eager_gradients(loss, [weight])[0]


def penalize_gradients(model, weight, scale):
    """Train with loss + scale / 2 · |gradient|², the gradient of the loss with respect to the weight."""

    def penalty(gradient):
        return 0.5 * scale * ops.sum(ops.square(gradient))

    def with_penalty(loss_of, value, gradient_of):
        (loss, (unscaled_loss, *others)), gradient = gradient_of(value)
        added = penalty(gradient)
        return loss + added, (unscaled_loss + added, *others)

    def hook_loss():
        original = model.compute_loss

        def compute_loss(x=None, y=None, y_pred=None, sample_weight=None, training=True):
            loss = original(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
            return loss + penalty(differentiable_gradient(loss, weight.value)) if training else loss

        model.compute_loss = compute_loss

    change_training(model, weight, with_penalty, hook_loss)


def differentiable_gradient(loss, value):
    """Gradient that can itself be differentiated."""
    if framework == "torch":
        import torch

        return torch.autograd.grad(loss, [value], create_graph=True)[0]
    import tensorflow as tf

    return tf.convert_to_tensor(tf.gradients(loss, value)[0])
