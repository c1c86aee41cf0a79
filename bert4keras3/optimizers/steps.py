"""Base of the extensions: a step is a few changes, and each extension modifies the changes of the optimizer inside it.

`changes` is a generator. The innermost optimizer yields what it would add to the variables. An extension passes these
changes on: it scales them, adds weight decay, or yields one more change. The changes that leave the outermost
extension are added to the variables. So the order of extensions is the order of arithmetic. The same holds in
bert4keras, where each assignment to a weight passes through the extensions from the innermost to the outermost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bert4keras3 import ops
from bert4keras3.backend import foreach, keras
from bert4keras3.backend.optimizer_extensions import Mixed


class Change:
    """What is added to each variable: scale · direction + decay · variable

    The terms stay apart until `apply`, so that `scale` multiplies no large tensor.

    Attributes:
        directions: a tensor for each variable, or None.
        scales: one scale for all variables, or a list; a scale is a number or a tensor that broadcasts to its variable.
        decays: a list of numbers, tensors and Nones, or None; None means no decay.
    """

    def __init__(self, directions: list[Any] | None = None, scales: Any = 1.0) -> None:
        self.directions, self.scales = directions, scales
        self.decays: list[Any] | None = None

    def scale(self, factors: Any) -> Change:
        """Multiply the change by one factor, or by a list of factors; None in the list is the factor 1."""
        self.scales = multiply(self.scales, factors)
        if self.decays is not None:
            self.decays = multiply(self.decays, factors)
        return self

    def decay(self, rate: Any, is_decayed: Sequence[bool]) -> Change:
        """Subtract rate · variable for each variable that is decayed."""
        old = self.decays or [None] * len(is_decayed)
        self.decays = [
            (-rate if one is None else one - rate) if decayed else one
            for one, decayed in zip(old, is_decayed)
        ]
        return self

    def select(self, indices: list[int]) -> Change:
        """The change of the variables with these indices."""
        selected = Change(None if self.directions is None else [self.directions[i] for i in indices])
        selected.scales = [self.scales[i] for i in indices] if isinstance(self.scales, list) else self.scales
        selected.decays = None if self.decays is None else [self.decays[i] for i in indices]
        return selected

    def sums(self, variables: list[Any]) -> list[Any]:
        """The whole change as one tensor for each variable."""
        size, xs = len(variables), foreach.values(variables)
        sums = self.directions or [ops.zeros_like(x) for x in xs]
        sums = [ops.multiply(scale, one) for scale, one in zip(listed(self.scales, size), sums)]
        for i, decay in enumerate(self.decays or []):
            if decay is not None:
                sums[i] = ops.add(sums[i], ops.multiply(decay, xs[i]))
        return sums

    def apply(self, variables: list[Any]) -> None:
        foreach.apply_updates(variables, self.directions, self.scales, self.decays)


def multiply(values: Any, factors: Any) -> Any:
    """Multiply values by factors; each is one value or a list. None as a value stays None, as a factor it is 1."""
    if not isinstance(values, list) and not isinstance(factors, list):
        return values * factors
    size = len(values if isinstance(values, list) else factors)
    cache: dict[Any, Any] = {}  # equal pairs share one result, which foreach_torch applies by one kernel
    results = []
    for value, factor in zip(listed(values, size), listed(factors, size)):
        pair = id(value), factor if isinstance(factor, (int, float)) else id(factor)
        if pair not in cache:
            cache[pair] = value if value is None or factor is None else value * factor
        results.append(cache[pair])
    return results


def listed(values: Any, size: int) -> list[Any]:
    return values if isinstance(values, list) else [values] * size


class Steps(Mixed):
    """Mixin of our optimizers and of all extensions; it stands before an optimizer of Keras in the bases."""

    @property
    def changes_per_step(self) -> int:
        """Number of changes that `changes` yields."""
        return 1

    def step_rate(self, learning_rate: Any) -> Any:
        """The learning rate of this step."""
        return learning_rate

    def step_gradients(self, gradients: list[Any], variables: list[Any]) -> list[Any]:
        """The gradients that the update of this step uses."""
        return gradients

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        """Changes of Keras's optimizer: let it update the variables, take the differences, restore the variables."""
        old = foreach.copies(variables)
        super()._backend_update_step(gradients, variables, learning_rate)
        directions = foreach.subtract(foreach.values(variables), old)
        foreach.restore(variables, old)
        yield Change(directions)

    @foreach.without_gradients
    def _backend_update_step(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> None:
        """Keras calls this with all gradients, which are clipped, and with the learning rate."""
        gradients = foreach.dense(gradients, variables)
        rate = self.step_rate(ops.convert_to_tensor(learning_rate))
        for change in self.changes(gradients, variables, rate):
            change.apply(variables)

    def of(self, items: list[Any], variables: list[Any]) -> list[Any]:
        """Select the items of these variables, from a list with an item for each variable of the optimizer."""
        return [items[self._get_variable_index(variable)] for variable in variables]

    def step_count(self) -> Any:
        """Number of the present step as a float, from 1 on; each accumulated batch is a step."""
        return ops.cast(self.iterations + 1, keras.config.floatx())


def paths(variables: Sequence[Any]) -> list[str]:
    """Path of each variable, for example "Transformer-0-FeedForward-Norm/gamma"."""
    return [getattr(variable, "path", variable.name) for variable in variables]
