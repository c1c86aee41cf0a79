"""Arithmetic over many tensors at once, one for each variable that an optimizer steps, on Keras 3.

A compiler makes one kernel of it where there is one. PyTorch has none by default, so there these are its functions
over lists, which change what they can in place.
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
        """Decorator: what the function computes is not recorded for a gradient."""
        return function

    def known(condition):
        """True or False where the framework knows it now; None where it is still to be computed."""
        return None

    def values(variables):
        """Tensors of the variables; of TensorFlow's, which change in place, as they are now."""
        return [one_tensor(variable.value) for variable in variables]

    copies = values  # later assignments to the variables do not change them

    def restore(variables, old):
        """Give the variables their old values back."""
        for variable, value in zip(variables, old):
            variable.assign(value)

    def dense(gradients, variables):
        """Gradients in the dtype of their variables; TensorFlow's of embeddings, rows and their places, as one."""
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

    def move(variables, directions, rates, shrinks):
        """variable ← variable + shrink · variable + rate · direction; None in shrinks: nothing of it.

        rates: one for all, or a list; each a number or a tensor that broadcasts to its variable.
        """
        if not isinstance(rates, list):
            rates = [rates] * len(variables)
        for i, variable in enumerate(variables):
            terms = []
            if shrinks is not None and shrinks[i] is not None:
                terms.append(ops.cast(shrinks[i], variable.dtype) * variable)
            if directions is not None:
                terms.append(ops.cast(rates[i], variable.dtype) * directions[i])
            if terms:
                variable.assign(variable + sum(terms[1:], terms[0]))


def parallel_class(optimizer):
    """The class in whose name this framework makes instances of a class of Keras: PyTorch has faster ones."""
    return type(optimizer.__new__(optimizer))
