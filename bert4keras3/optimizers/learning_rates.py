"""Learning rates that depend on the step, on the variable, and on the norm of the variable."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from typing import Any

from bert4keras3 import ops
from bert4keras3.backend import foreach, keras, piecewise_linear
from bert4keras3.optimizers.extending import Extension, extend_with
from bert4keras3.optimizers.steps import Change, paths
from bert4keras3.snippets import string_matching


class PiecewiseLinearRate(Extension):
    """Scale each change of a step: w_new ← w + (w_new − w) · multiplier

    `optimizer.learning_rate` does not change. The extension scales all changes inside it, weight decay too. A weight
    decay outside it does not see the schedule. A layer adaptation outside cancels the schedule. bert4keras does the
    same on keras 2.3.1; extend_with_piecewise_linear_lr_v2 computes what bert4keras computes on tf.keras.

    Args:
        lr_schedule: {step: multiplier}. {1000: 1, 2000: 0.1} rises linearly from 0 at step 0 to 1 at step 1000, falls
            linearly to 0.1 at step 2000, and stays 0.1. Steps count from 0; each accumulated batch is a step.
    """

    arguments: dict[str, Any] = {"lr_schedule": {0: 1}}
    lr_schedule: dict[float, float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lr_schedule = {int(step): rate for step, rate in self.lr_schedule.items()}

    def multiplier(self) -> Any:
        return piecewise_linear(self.iterations, self.lr_schedule)

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        multiplier = self.multiplier()
        for change in super().changes(gradients, variables, learning_rate):
            yield change.scale(multiplier)


class PiecewiseLinearRateV2(PiecewiseLinearRate):
    """Scale the learning rate of all extensions, inside and outside: lr ← lr · multiplier

    `optimizer.learning_rate` does not change. `lr_schedule` is as in PiecewiseLinearRate.
    """

    def step_rate(self, learning_rate: Any) -> Any:
        return super().step_rate(learning_rate) * self.multiplier()

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        return super(PiecewiseLinearRate, self).changes(gradients, variables, learning_rate)


class ParameterWiseRate(Extension):
    """Scale the changes of some variables: w_new ← w + (w_new − w) · factor

    Args:
        paramwise_lr_schedule: {part of a path: factor}, such as {"Embedding": 0.1, "gamma": 2}. If several parts are in
            the path of a variable, their factors are multiplied.
    """

    arguments: dict[str, Any] = {"paramwise_lr_schedule": {}}

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            super().build(variables)
            self._factors = [self.factor(path) for path in paths(variables)]

    def factor(self, path: str) -> float | None:
        """Factor of the variable with this path; None if no part matches."""
        factors = [factor for name, factor in self.paramwise_lr_schedule.items() if name in path]
        return functools.reduce(operator.mul, factors, 1.0) if factors else None

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        factors = self.of(self._factors, variables)
        for change in super().changes(gradients, variables, learning_rate):
            yield change.scale(factors)


class LayerAdaptation(Extension):
    """Changes in proportion to the weights, as in LAMB, https://arxiv.org/abs/1904.00962

    w_new ← w + (w_new − w) · ‖w‖ / (‖w_new − w‖ / lr), if both norms are above 0.

    The changes of all extensions inside are adapted together, weight decay too. So
    extend_with_layer_adaptation(extend_with_weight_decay(Adam)) is LAMB. Keras's Lamb has no weight decay in the norm,
    and it adapts all variables.

    Args:
        exclude_from_layer_adaptation: regular expressions; a variable is adapted unless one matches a part of its path.
    """

    arguments: dict[str, Any] = {"exclude_from_layer_adaptation": []}

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            super().build(variables)
            excluded = self.exclude_from_layer_adaptation
            self._adapts = [not string_matching(path, excluded) for path in paths(variables)]

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        indices = [i for i, is_adapted in enumerate(self.of(self._adapts, variables)) if is_adapted]
        adapted = [variables[i] for i in indices]
        rate = ops.maximum(learning_rate, keras.config.epsilon())
        for change in super().changes(gradients, variables, learning_rate):
            if adapted:
                norms = ops.stack(foreach.norms(foreach.values(adapted)))
                change_norms = ops.stack(foreach.norms(change.select(indices).sums(adapted)))
                factors: list[Any] = [None] * len(variables)
                for i, factor in zip(indices, ops.unstack(ratio(norms, change_norms / rate))):
                    factors[i] = factor
                change.scale(factors)
            yield change


def ratio(norms: Any, change_norms: Any) -> Any:
    """Ratio of the norms; 1 if one of them is 0."""
    both = ops.logical_and(norms > 0, change_norms > 0)
    return ops.where(both, norms / ops.where(both, change_norms, 1.0), 1.0)


extend_with_piecewise_linear_lr = extend_with("piecewise_linear_lr", PiecewiseLinearRate)
extend_with_piecewise_linear_lr_v2 = extend_with("piecewise_linear_lr_v2", PiecewiseLinearRateV2)
extend_with_parameter_wise_lr = extend_with_parameter_wise_lr_v2 = extend_with(
    "parameter_wise_lr", ParameterWiseRate
)
extend_with_layer_adaptation = extend_with("layer_adaptation", LayerAdaptation)
extend_with_layer_adaptation_v2 = extend_with_layer_adaptation
