"""AdaFactor, which stores the mean of squared gradients of a matrix as one row and one column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bert4keras3 import ops
from bert4keras3.backend import foreach, keras, root_mean_square, serializable
from bert4keras3.optimizers.steps import Change, Steps, matching
from bert4keras3.snippets import string_matching


@serializable
class RelativeRate(keras.optimizers.schedules.LearningRateSchedule):
    """AdaFactor's default learning rate: scale · min(1 / √t, 0.01) at step t = 1, 2, …"""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, step: Any) -> Any:
        t = ops.cast(step + 1, keras.config.floatx())
        return self.scale * ops.minimum(1 / ops.sqrt(t), 0.01)

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale}


@serializable
class AdaFactor(Steps, keras.optimizers.Optimizer):
    """AdaFactor, https://arxiv.org/abs/1804.04235

    ::

        v ← β2 v + (1 − β2) (g² + ε1), of a large matrix as an outer product of its means over rows and over columns
        u = g / √(v + ε1);  u ← u / max(1, rms(u) / clipping_threshold);  u ← β1 u_before + (1 − β1) u
        w ← w − lr · u · max(rms(w), ε2)

    Keras's Adafactor differs: it has no β1, factors every matrix over its last two axes, multiplies the update of every
    variable by rms(w), and applies the minimum of lr and 1 / √t twice.

    Args:
        learning_rate: a number or a schedule. None: min(1 / √t, 0.01), or 0.05 times that without
            multiply_by_parameter_scale.
        beta1: β1; 0: no momentum.
        beta2: β2; None: 1 − t^−0.8.
        epsilon1, epsilon2: ε1 and ε2.
        multiply_by_parameter_scale: whether updates are multiplied by max(rms(w), ε2).
        clipping_threshold: largest rms of an update; None: no clipping.
        min_dim_size_to_factor: v is factored over the two largest axes if both have at least this size.
        exclude_from_parameter_scale: regular expressions; a variable whose path matches is not multiplied by its scale.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta1: float = 0.0,
        beta2: float | None = None,
        epsilon1: float = 1e-30,
        epsilon2: float = 1e-3,
        multiply_by_parameter_scale: bool = True,
        clipping_threshold: float | None = 1.0,
        min_dim_size_to_factor: int = 128,
        exclude_from_parameter_scale: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if learning_rate is None:
            learning_rate = RelativeRate(1.0 if multiply_by_parameter_scale else 0.05)
        super().__init__(learning_rate, **kwargs)
        self.beta1, self.beta2 = beta1, beta2
        self.epsilon1, self.epsilon2 = epsilon1, epsilon2
        self.multiply_by_parameter_scale = multiply_by_parameter_scale
        self.clipping_threshold = clipping_threshold
        self.min_dim_size_to_factor = min_dim_size_to_factor
        self.exclude_from_parameter_scale = list(exclude_from_parameter_scale or [])

    def factored_axes(self, shape: Sequence[int]) -> tuple[int, int] | None:
        """The largest axis and the second largest axis; None if v is not factored."""
        if len(shape) < 2:
            return None
        second, largest = np.argsort(shape, kind="stable")[-2:]
        return None if shape[second] < self.min_dim_size_to_factor else (int(largest), int(second))

    def build(self, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)
        self._is_scaled = [
            self.multiply_by_parameter_scale and not excluded
            for excluded in matching(
                variables, lambda path: string_matching(path, self.exclude_from_parameter_scale)
            )
        ]
        self._momentums = self.add_optimizer_variables(variables, "m") if self.beta1 > 0 else []
        self._squares = [self.add_squares(variable) for variable in variables]

    def add_squares(self, variable: Any) -> list[Any]:
        """Slots of a variable for v: one of its shape, or its means over each of two axes, (…, 1, …)."""
        axes = self.factored_axes(variable.shape)
        if axes is None:
            return [self.add_variable_from_reference(variable, "v")]
        slots = []
        for axis, name in zip(axes, ("vr", "vc")):
            shape = [1 if i == axis else size for i, size in enumerate(variable.shape)]
            slots.append(
                self.add_variable(
                    tuple(shape), dtype=variable.dtype, name=variable.path.replace("/", "_") + "_" + name
                )
            )
        return slots

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        beta2 = 1 - ops.power(self.step_count(), -0.8) if self.beta2 is None else self.beta2
        updates = [self.update(*pair, beta2) for pair in zip(gradients, variables)]
        if self.beta1 > 0:
            momentums = self.of(self._momentums, variables)
            foreach.average(momentums, self.beta1, updates)
            updates = foreach.copies(momentums)
        scales = [
            ops.maximum(root_mean_square(variable), self.epsilon2) if scaled else 1.0
            for variable, scaled in zip(foreach.values(variables), self.of(self._is_scaled, variables))
        ]
        yield Change(updates, [-learning_rate * scale for scale in scales])

    def update(self, gradient: Any, variable: Any, beta2: Any) -> Any:
        """u of one variable, before momentum."""
        slots = self._squares[self._get_variable_index(variable)]
        squares = ops.square(gradient) + self.epsilon1
        axes = self.factored_axes(variable.shape)
        if axes is None:
            foreach.average(slots, beta2, [squares])
            (v,) = foreach.values(slots)
        else:
            foreach.average(slots, beta2, [ops.mean(squares, axis=axis, keepdims=True) for axis in axes])
            rows, columns = foreach.values(slots)
            v = rows * columns / ops.mean(rows, axis=axes[1], keepdims=True)
        update = gradient / ops.sqrt(v + self.epsilon1)
        if self.clipping_threshold is not None:
            update = update / ops.maximum(1.0, root_mean_square(update) / self.clipping_threshold)
        return update

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if isinstance(self._learning_rate, RelativeRate):
            config["learning_rate"] = None
        return dict(
            config,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon1=self.epsilon1,
            epsilon2=self.epsilon2,
            multiply_by_parameter_scale=self.multiply_by_parameter_scale,
            clipping_threshold=self.clipping_threshold,
            min_dim_size_to_factor=self.min_dim_size_to_factor,
            exclude_from_parameter_scale=list(self.exclude_from_parameter_scale),
        )


AdaFactorV1 = AdaFactorV2 = AdaFactor
