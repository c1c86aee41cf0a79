"""A second copy of the weights: lookahead's slow weights, and an exponential moving average."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bert4keras3 import ops
from bert4keras3.backend import foreach, get_values, keras, set_values
from bert4keras3.optimizers.extending import Extension, export_to_custom_objects, extended
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

    def __init__(
        self,
        *args: Any,
        steps_per_slow_update: int = 5,
        slow_step_size: float = 0.5,
        slow_from_weights: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.steps_per_slow_update, self.slow_step_size = steps_per_slow_update, slow_step_size
        self.slow_from_weights = slow_from_weights

    @property
    def changes_per_step(self) -> int:
        return super().changes_per_step + 1

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
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

    def get_config(self) -> dict[str, Any]:
        return dict(
            super().get_config(),
            steps_per_slow_update=self.steps_per_slow_update,
            slow_step_size=self.slow_step_size,
            slow_from_weights=self.slow_from_weights,
        )


class ExponentialMovingAverage(Extension):
    """A moving average of the weights: ema ← ema_momentum · ema + (1 − ema_momentum) · w after every step

    The average begins as zeros; apply_ema_weights divides it by 1 − ema_momentum^steps. Keras's use_ema begins with the
    weights of the first step, and leaves the average in the model when training ends.
    """

    def __init__(self, *args: Any, ema_momentum: float = 0.999, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ema_momentum = ema_momentum

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self._ema_weights = self.add_optimizer_variables(variables, "ema")

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        yield from super().changes(gradients, variables, learning_rate)
        foreach.average(self._ema_weights, self.ema_momentum, foreach.values(self._trainable_variables))

    def apply_ema_weights(self, bias_correction: bool = True) -> None:
        """Save the weights of the model, then replace them by their average.

        Raises:
            ValueError: there was no training step yet.
        """
        averages = get_values(self._ema_weights) if self.built else []
        (iterations,) = get_values([self.iterations])
        if not averages or not iterations:
            raise ValueError(f"{self.name}: no average yet: train for a step first")
        if bias_correction:
            momentum = float(np.asarray(self.ema_momentum, keras.config.floatx()))  # as in the average
            averages = [average / (1 - momentum ** int(iterations)) for average in averages]
        self._old_weights = get_values(self._trainable_variables)
        set_values(list(zip(self._trainable_variables, averages)))

    def reset_old_weights(self) -> None:
        """Restore the weights that apply_ema_weights saved.

        Raises:
            ValueError: apply_ema_weights was not called.
        """
        if not hasattr(self, "_old_weights"):
            raise ValueError(f"{self.name}: no old weights: call apply_ema_weights first")
        set_values(list(zip(self._trainable_variables, self._old_weights)))

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config(), ema_momentum=self.ema_momentum)


@export_to_custom_objects
def extend_with_lookahead(BaseOptimizer: type) -> type:
    """Derive a class with slow weights; arguments steps_per_slow_update=5, slow_step_size=0.5. See Lookahead."""
    return extended(Lookahead, BaseOptimizer)


@export_to_custom_objects
def extend_with_exponential_moving_average(BaseOptimizer: type) -> type:
    """Derive a class with averaged weights; argument ema_momentum=0.999. See ExponentialMovingAverage."""
    return extended(ExponentialMovingAverage, BaseOptimizer)


extend_with_lookahead_v2 = extend_with_lookahead
extend_with_exponential_moving_average_v2 = extend_with_exponential_moving_average
