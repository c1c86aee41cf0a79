"""Gradient accumulation and lazy optimization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bert4keras3 import ops
from bert4keras3.backend import foreach, keras
from bert4keras3.optimizers.extending import Extension, extend_with
from bert4keras3.optimizers.steps import Change, paths
from bert4keras3.snippets import string_matching


class GradientAccumulation(Extension):
    """One update with the mean gradient of k = `grad_accum_steps` batches.

    At every k-th batch, beginning with the first, the optimizer makes an update with (sum of gradients) ÷ k and clears
    the sum. Then the gradient of this batch is added to the sum.

    So the first update uses a gradient of zero. Each update lags by one batch: the gradient of the batch at which it
    happens goes into the next sum. Each batch counts as a step for Adam's bias correction, for schedules and for EMA.
    Only extensions inside this one wait; a weight decay outside decays at every batch. bert4keras does the same.
    Keras's gradient_accumulation_steps makes its update at the k-th batch and includes the gradient of that batch.
    """

    arguments = {"grad_accum_steps": 2}

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            before = len(self.variables)
            super().build(variables)
            self._inner_slots = self.variables[before:]
            self._sums = self.add_optimizer_variables(variables, "sum_of_gradients")

    def step_gradients(self, gradients: list[Any], variables: list[Any]) -> list[Any]:
        return foreach.divide(foreach.values(self.of(self._sums, variables)), self.grad_accum_steps)

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        is_due = ops.equal(self.iterations % self.grad_accum_steps, 0)
        if foreach.concrete_bool(is_due) is False:
            for _ in range(super().changes_per_step):
                yield Change()
        else:
            yield from self.due_changes(is_due, gradients, variables, learning_rate)
        keep = 1.0 - ops.cast(is_due, keras.config.floatx())
        foreach.accumulate(self.of(self._sums, variables), keep, gradients)

    def due_changes(
        self, is_due: Any, gradients: list[Any], variables: list[Any], learning_rate: Any
    ) -> Iterator[Change]:
        """Changes of the extended optimizer. If no update is due, they are zero and its slots keep their values."""
        old, factor = foreach.copies(self._inner_slots), ops.cast(is_due, keras.config.floatx())
        mean = self.step_gradients(gradients, variables)
        for change in super().changes(mean, variables, learning_rate):
            yield change.scale(factor)
        foreach.restore_unless(is_due, self._inner_slots, old)


class LazyOptimization(Extension):
    """Update a row of a variable only if the row's gradient is not all zero; rows are along the last axis.

    Only the weights are lazy: Adam's moving averages are updated at every step. With gradient accumulation, inside or
    outside, the gradient is the mean of several batches.

    Args:
        include_in_lazy_optimization: regular expressions; a variable is lazy if one matches a part of its path.
    """

    arguments: dict[str, Any] = {"include_in_lazy_optimization": []}

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            super().build(variables)
            included = self.include_in_lazy_optimization
            self._is_lazy = [string_matching(path, included) for path in paths(variables)]

    def seen_gradients(self, gradients: list[Any], variables: list[Any]) -> list[Any]:
        return self.step_gradients(gradients, variables)

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        seen = self.seen_gradients(gradients, variables)
        factors = [
            ops.cast(ops.any(ops.not_equal(gradient, 0), axis=-1, keepdims=True), keras.config.floatx())
            if is_lazy
            else None
            for gradient, is_lazy in zip(seen, self.of(self._is_lazy, variables))
        ]
        for change in super().changes(gradients, variables, learning_rate):
            yield change.scale(factors)


class LazyOptimizationV2(LazyOptimization):
    """LazyOptimization that, outside of gradient accumulation, tests the gradient of the present batch only."""

    def seen_gradients(self, gradients: list[Any], variables: list[Any]) -> list[Any]:
        return gradients


extend_with_gradient_accumulation = extend_with("gradient_accumulation", GradientAccumulation)
extend_with_gradient_accumulation_v2 = extend_with_gradient_accumulation
extend_with_lazy_optimization = extend_with("lazy_optimization", LazyOptimization)
extend_with_lazy_optimization_v2 = extend_with("lazy_optimization_v2", LazyOptimizationV2)
