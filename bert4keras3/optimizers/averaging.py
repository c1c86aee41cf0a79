"""A second copy of the weights: lookahead's slow weights, and an exponential moving average."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bert4keras3 import ops
from bert4keras3.backend import foreach, get_values, keras, set_values
from bert4keras3.backend.optimizer_extensions import AveragedWeights
from bert4keras3.optimizers.extending import Extension, extend_with
from bert4keras3.optimizers.steps import Change


class Lookahead(Extension):
    """Lookahead, https://arxiv.org/abs/1907.08610

    At every k-th step, beginning with the first: slow ← slow + α (w − slow);  w ← slow

    As in bert4keras, and unlike in the paper, the slow weights begin as zeros, and the first step updates them. So the
    first step multiplies the weights by α.

    Args:
        steps_per_slow_update: k.
        slow_step_size: α.
        slow_from_weights: begin with the weights in place of zeros.
    """

    arguments = {"steps_per_slow_update": 5, "slow_step_size": 0.5, "slow_from_weights": False}

    @property
    def changes_per_step(self) -> int:
        return super().changes_per_step + 1

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            super().build(variables)
            self._slow_weights = self.add_optimizer_variables(variables, "slow")
            if self.slow_from_weights:
                set_values(list(zip(self._slow_weights, get_values(variables))))

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        yield from super().changes(gradients, variables, learning_rate)
        is_due = ops.equal(self.iterations % self.steps_per_slow_update, 0)
        if foreach.concrete_bool(is_due) is False:
            yield Change()
            return
        factor, slow_weights = ops.cast(is_due, keras.config.floatx()), self.of(self._slow_weights, variables)
        foreach.average(slow_weights, 1.0 - factor * self.slow_step_size, foreach.values(variables))
        yield Change(foreach.subtract(foreach.values(slow_weights), foreach.values(variables)), factor)


class ExponentialMovingAverage(AveragedWeights, Extension):
    """A moving average of the weights: ema ← ema_momentum · ema + (1 − ema_momentum) · w after every step

    The average begins as zeros; apply_ema_weights divides it by 1 − ema_momentum^steps. Keras's use_ema begins with the
    weights of the first step, and leaves the average in the model when training ends.
    """

    arguments = {"ema_momentum": 0.999}

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            super().build(variables)
            self._ema_weights = self.add_optimizer_variables(variables, "ema")

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        yield from super().changes(gradients, variables, learning_rate)
        foreach.average(self._ema_weights, self.ema_momentum, foreach.values(self._trainable_variables))

    def averages_and_weights(self) -> list[tuple]:
        return list(zip(self._ema_weights, self._trainable_variables)) if self.built else []


extend_with_lookahead = extend_with_lookahead_v2 = extend_with("lookahead", Lookahead)
extend_with_exponential_moving_average = extend_with("exponential_moving_average", ExponentialMovingAverage)
extend_with_exponential_moving_average_v2 = extend_with_exponential_moving_average
