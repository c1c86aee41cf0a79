"""The functions of foreach.py on PyTorch: those of torch over lists, in place where that is asked for."""

import keras
import numpy as np
import torch

from bert4keras3.backend.keras3 import private

__all__ = [
    "accumulate",
    "adam_directions",
    "average",
    "copies",
    "dense",
    "divide",
    "known",
    "move",
    "norms",
    "restore",
    "restore_unless",
    "squares",
    "subtract",
    "values",
    "without_gradients",
]
without_gradients = torch.no_grad()


def known(condition):
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


def move(variables, directions, rates, shrinks):
    variables = values(variables)
    if shrinks is not None:
        places = [i for i, shrink in enumerate(shrinks) if shrink is not None]
        shrunk = [variables[i] for i in places]
        if shrunk:  # not a product with 1 + shrink, which is rounded the same way in every step
            private.foreach_addcmul_(shrunk, shrunk, tensors([shrinks[i] for i in places], shrunk))
    if directions is not None:
        scale(directions, rates)
        private.foreach_add_(variables, directions)


def scale(xs, factors):
    """x ← factor · x; factors as the rates of `move`. One kernel where all have the same."""
    if isinstance(factors, list) and all(factor is factors[0] for factor in factors):
        factors = factors[0] if factors else 1
    if isinstance(factors, list):
        factors = tensors(factors, xs)
    if xs:
        private.foreach_mul_(xs, factors)


def tensors(factors, xs):
    """Factors as tensors of the same dtypes and devices as xs."""
    return [torch.as_tensor(factor, dtype=x.dtype, device=x.device) for factor, x in zip(factors, xs)]
