"""What the extensions have in common: a step is a few changes, and each extension alters those of the one inside it.

`changes` is a generator. The innermost one computes what its optimizer would add to the variables, an extension
goes through the changes of what it extends and passes them on: scaled, with decay, or with one more of its own. What
comes out of the last is added. So the order of extensions is the order of arithmetic, as in bert4keras, where each
assignment to a weight passes through the extensions from the inside to the outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bert4keras3 import ops
from bert4keras3.backend import foreach, keras


class Change:
    """What is added to the variables: rate · direction + shrink · variable, an item a variable.

    rates: one value for all or a list; shrinks: a list, None where there is none. Values are numbers or tensors that
    broadcast to their variable. Kept apart, so that a factor costs nothing until the variables are changed.
    """

    def __init__(self, directions: list[Any] | None = None, rates: Any = 1.0) -> None:
        self.directions, self.rates = directions, rates
        self.shrinks: list[Any] | None = None

    def scale(self, factors: Any) -> Change:
        """Multiply all of it: by one factor, or by a list with None for what stays."""
        self.rates = product(self.rates, factors)
        if self.shrinks is not None:
            self.shrinks = product(self.shrinks, factors)
        return self

    def shrink(self, amount: Any, chosen: Sequence[bool]) -> Change:
        """Take amount · variable off the chosen ones."""
        minus, old = -amount, self.shrinks or [None] * len(chosen)
        self.shrinks = [
            (minus if one is None else one + minus) if is_chosen else one
            for one, is_chosen in zip(old, chosen)
        ]
        return self

    def part(self, places: list[int]) -> Change:
        """That of the variables at these places."""
        part = Change(None if self.directions is None else [self.directions[i] for i in places])
        part.rates = [self.rates[i] for i in places] if isinstance(self.rates, list) else self.rates
        part.shrinks = None if self.shrinks is None else [self.shrinks[i] for i in places]
        return part

    def totals(self, variables: list[Any]) -> list[Any]:
        """All of it as a tensor a variable."""
        size, xs = len(variables), foreach.values(variables)
        totals = self.directions or [ops.zeros_like(x) for x in xs]
        totals = [ops.multiply(rate, one) for rate, one in zip(listed(self.rates, size), totals)]
        for i, shrink in enumerate(self.shrinks or []):
            if shrink is not None:
                totals[i] = ops.add(totals[i], ops.multiply(shrink, xs[i]))
        return totals

    def apply(self, variables: list[Any]) -> None:
        foreach.move(variables, self.directions, self.rates, self.shrinks)


def product(values: Any, factors: Any) -> Any:
    """Products of what is each one value or a list; None among values stays, among factors changes nothing."""
    if not isinstance(values, list) and not isinstance(factors, list):
        return values * factors
    size = len(values if isinstance(values, list) else factors)
    known: dict[Any, Any] = {}  # one product for all who have the same, which is quick, and which torch likes
    results = []
    for value, factor in zip(listed(values, size), listed(factors, size)):
        pair = id(value), factor if isinstance(factor, (int, float)) else id(factor)
        if pair not in known:
            known[pair] = value if value is None or factor is None else value * factor
        results.append(known[pair])
    return results


def listed(values: Any, size: int) -> list[Any]:
    return values if isinstance(values, list) else [values] * size


Mixed: Any = object  # what follows in the order of classes is an optimizer of Keras


class Steps(Mixed):
    """Base of our optimizers and of all extensions, before an optimizer of Keras in the order of classes."""

    @property
    def changes_per_step(self) -> int:
        """How many changes `changes` gives."""
        return 1

    def step_rate(self, learning_rate: Any) -> Any:
        """The learning rate of this step."""
        return learning_rate

    def step_gradients(self, gradients: list[Any], variables: list[Any]) -> list[Any]:
        """The gradients that a step is made with."""
        return gradients

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        """Here: what Keras's optimizer does, which has then been done, so take it back first."""
        old = foreach.copies(variables)
        super()._backend_update_step(gradients, variables, learning_rate)
        directions = foreach.subtract(foreach.values(variables), old)
        foreach.restore(variables, old)
        yield Change(directions)

    @foreach.without_gradients
    def _backend_update_step(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> None:
        """Where Keras hands over all gradients, clipped, and the learning rate."""
        gradients = foreach.dense(gradients, variables)
        rate = self.step_rate(ops.convert_to_tensor(learning_rate))
        for change in self.changes(gradients, variables, rate):
            change.apply(variables)

    def of(self, items: list[Any], variables: list[Any]) -> list[Any]:
        """The items of these variables, out of one for each variable that the optimizer was built with."""
        return [items[self._get_variable_index(variable)] for variable in variables]

    def step_count(self) -> Any:
        """The step that is being made as a float, from 1 on; with accumulation each batch counts."""
        return ops.cast(self.iterations + 1, keras.config.floatx())


def matching(variables: Sequence[Any], match: Callable[[str], Any]) -> list[Any]:
    """What `match` says of the path of each variable, such as "Transformer-0-FeedForward-Norm/gamma"."""
    return [match(getattr(variable, "path", variable.name)) for variable in variables]
