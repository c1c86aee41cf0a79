"""Arithmetic on lists of tensors, one tensor for each variable of an optimizer, on Keras 3.

JAX and TensorFlow compile a training step as a whole. PyTorch does not by default, so foreach_torch.py calls
PyTorch's own foreach functions, which work in place.
"""

import keras
from keras import ops

if keras.config.backend() == "torch":
    from bert4keras3.backend.keras3.foreach_torch import *  # noqa: F403
else:
    if keras.config.backend() == "tensorflow":
        from tensorflow import convert_to_tensor as one_tensor
    else:
        one_tensor = ops.convert_to_tensor

    def without_gradients(function):
        """Decorator: run the function without recording gradients."""
        return function

    def concrete_bool(condition):
        """True or False if the value is known now; None if it is known only when the graph runs."""
        return None

    def values(variables):
        """Tensors of the variables, with their present values."""
        return [one_tensor(variable.value) for variable in variables]

    copies = values  # later assignments to the variables do not change these tensors

    def restore(variables, old):
        """Give the variables their old values back."""
        for variable, value in zip(variables, old):
            variable.assign(value)

    def dense(gradients, variables):
        """Gradients in the dtype of their variables; TensorFlow's IndexedSlices become dense tensors."""
        return [ops.cast(one_tensor(one), variable.dtype) for one, variable in zip(gradients, variables)]

    def subtract(xs, ys):
        return [x - y for x, y in zip(xs, ys)]

    def divide(xs, number):
        return [x / number for x in xs]

    def squares(xs):
        return [ops.square(x) for x in xs]

    def norms(xs):
        """Euclidean norm of each tensor."""
        return [ops.sqrt(ops.sum(ops.square(x))) for x in xs]

    def adam_directions(momentums, velocities, epsilon):
        """momentum / (√velocity + epsilon)"""
        return [ops.divide(m, ops.add(ops.sqrt(v), epsilon)) for m, v in zip(momentums, velocities)]

    def average(slots, momentum, xs):
        """slot ← momentum · slot + (1 − momentum) · x

        The momentum is rounded first, so that both weights add up to 1 and Adam's bias correction is right.
        """
        momentum = ops.cast(momentum, keras.config.floatx())
        for slot, x in zip(slots, xs):
            slot.assign(ops.add(ops.multiply(momentum, slot), ops.multiply(1 - momentum, x)))

    def accumulate(slots, keep, xs):
        """slot ← keep · slot + x"""
        for slot, x in zip(slots, xs):
            slot.assign(ops.add(ops.multiply(keep, slot), x))

    def restore_unless(condition, variables, old):
        """Give the variables their old values back, unless the condition is true."""
        for variable, value in zip(variables, old):
            variable.assign(ops.where(condition, variable.value, value))

    def apply_updates(variables, directions, scales, decays):
        """variable ← variable + decay · variable + scale · direction, with the attributes of a `Change`."""
        if not isinstance(scales, list):
            scales = [scales] * len(variables)
        for i, variable in enumerate(variables):
            terms = []
            if decays is not None and decays[i] is not None:
                terms.append(ops.cast(decays[i], variable.dtype) * variable)
            if directions is not None:
                terms.append(ops.cast(scales[i], variable.dtype) * directions[i])
            if terms:
                variable.assign(variable + sum(terms[1:], terms[0]))


def parallel_class(optimizer):
    """Class of the instances that `optimizer` creates on this framework. Keras has faster subclasses for PyTorch."""
    return type(optimizer.__new__(optimizer))
