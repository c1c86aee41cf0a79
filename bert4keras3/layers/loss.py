"""Losses as layers, for losses of more than one target and one output."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import Tensor, Tensors, ops, upcast
from bert4keras3.layers.configuration import ConfiguredLayer


class Loss(ConfiguredLayer):
    """Base of layers that add a loss to the model, so that `compile(optimizer)` needs no loss.

    A subclass defines `compute_loss(self, inputs, mask=None)`. The mean of the result is added to the loss. There,
    `self.add_metric(value, name=…)` reports a metric. Inputs in half precision arrive in `compute_loss` as float32.

    Args:
        output_axis: which inputs are the outputs: None for all, an index or a list of indices.
    """

    trace_for_metrics = True

    def __init__(self, output_axis: None | int | list[int] = None, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # labels would be rounded
        self.output_axis = output_axis

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        upcasted = [upcast(x) for x in inputs] if isinstance(inputs, (list, tuple)) else upcast(inputs)
        self.add_loss(ops.mean(self.compute_loss(upcasted, mask)), inputs=inputs)
        return self.choose(inputs)

    def compute_loss(self, inputs: Tensors, mask: Tensors = None) -> Tensor:
        """The loss, of any shape, whose mean is added to the model's loss; a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__}: define compute_loss(self, inputs, mask=None)")

    def choose(self, items: Any) -> Any:
        """Select the items (inputs, shapes or masks) of the outputs."""
        if self.output_axis is None:
            return items
        if isinstance(self.output_axis, (list, tuple)):
            return [items[index] for index in self.output_axis]
        return items[self.output_axis]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.choose(input_shape)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None if mask is None else self.choose(mask)
