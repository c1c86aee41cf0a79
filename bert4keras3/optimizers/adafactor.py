"""AdaFactor, which stores the mean of squared gradients of a matrix as one row and one column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bert4keras3 import ops
from bert4keras3.backend import foreach, keras, root_mean_square, serializable
from bert4keras3.backend.optimizer_extensions import AdaFactorBase
from bert4keras3.optimizers.steps import Change, Steps, paths


@serializable
class AdaFactor(AdaFactorBase, Steps, keras.optimizers.Optimizer):
    __doc__ = AdaFactorBase.__doc__

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            super().build(variables)
            self._is_scaled = [self.is_scaled(path) for path in paths(variables)]
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
            name = variable.path.replace("/", "_") + "_" + name
            slots.append(self.add_variable(tuple(shape), dtype=variable.dtype, name=name))
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


AdaFactorV1 = AdaFactorV2 = AdaFactor
