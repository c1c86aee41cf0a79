"""The functions of foreach.py on PyTorch: PyTorch's foreach functions, in place if possible."""

import keras
import numpy as np
import torch

from bert4keras3.backend.keras3 import private

without_gradients = torch.no_grad()


def concrete_bool(condition):
    return bool(condition)


def values(variables):
    return [variable.value for variable in variables]


def copies(variables):
    return [variable.value.clone() for variable in variables]


def dense(gradients, variables):
    return [
        gradient if gradient.dtype == variable.value.dtype else gradient.to(variable.value.dtype)
        for gradient, variable in zip(gradients, variables)
    ]


def subtract(xs, ys):
    return list(private.foreach_sub(xs, ys))


def divide(xs, number):
    return list(private.foreach_div(xs, number))


def squares(xs):
    return list(private.foreach_mul(xs, xs))


def norms(xs):
    return list(private.foreach_norm(xs))


def adam_directions(momentums, velocities, epsilon):
    denominators = private.foreach_sqrt(values(velocities))
    private.foreach_add_(denominators, epsilon)
    return list(private.foreach_div(values(momentums), denominators))


def average(slots, momentum, xs):
    slots = values(slots)
    if isinstance(momentum, torch.Tensor):
        private.foreach_mul_(slots, momentum)
        private.foreach_add_(slots, private.foreach_mul(xs, 1 - momentum))
    else:
        momentum = float(np.asarray(momentum, keras.config.floatx()))
        private.foreach_mul_(slots, momentum)
        private.foreach_add_(slots, xs, alpha=1 - momentum)


def accumulate(slots, keep, xs):
    slots = values(slots)
    private.foreach_mul_(slots, keep)
    private.foreach_add_(slots, xs)


def restore(variables, old):
    private.foreach_copy_(values(variables), old)


def restore_unless(condition, variables, old):
    if not condition:
        restore(variables, old)


def apply_updates(variables, directions, scales, decays):
    variables = values(variables)
    if decays is not None:
        indices = [i for i, decay in enumerate(decays) if decay is not None]
        decayed = [variables[i] for i in indices]
        if decayed:  # not multiplied by 1 + decay, whose rounding error is the same in every step
            private.foreach_addcmul_(decayed, decayed, tensors([decays[i] for i in indices], decayed))
    if directions is not None:
        scale(directions, scales)
        private.foreach_add_(variables, directions)


def scale(xs, factors):
    """x ← factor · x; factors are like the scales of `apply_updates`. Equal factors take one kernel."""
    if isinstance(factors, list) and all(factor is factors[0] for factor in factors):
        factors = factors[0] if factors else 1
    if isinstance(factors, list):
        factors = tensors(factors, xs)
    if xs:
        private.foreach_mul_(xs, factors)


def tensors(factors, xs):
    """Factors as tensors, each with the dtype and the device of its x."""
    return [torch.as_tensor(factor, dtype=x.dtype, device=x.device) for factor, x in zip(factors, xs)]
