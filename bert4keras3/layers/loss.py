"""Losses that are more than a function of one target and one output."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import Layer, Tensor, Tensors, ops, upcast


class Loss(Layer):
    """Base of layers that add a loss to the model, so that `compile(optimizer)` needs none.

    A subclass writes `compute_loss(self, inputs, mask=None)`; its mean is the loss, and in it
    `self.add_metric(value, name=…)` shows a number beside. The outputs are the inputs: all of them, or those at
    `output_axis`, a place or a list of places. Numbers of half precision arrive in `compute_loss` as float32.
    """

    takes_ids = True
    traced = True

    def __init__(self, output_axis: None | int | list[int] = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_axis = output_axis

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        wide = [upcast(x) for x in inputs] if isinstance(inputs, (list, tuple)) else upcast(inputs)
        self.add_loss(ops.mean(self.compute_loss(wide, mask)), inputs=inputs)
        return self.choose(inputs)

    def compute_loss(self, inputs: Tensors, mask: Tensors = None) -> Tensor:
        """To be written by a subclass: the loss, of any shape, whose mean is added to the model's."""
        raise NotImplementedError(f"{type(self).__name__}: write compute_loss(self, inputs, mask=None)")

    def choose(self, items: Any) -> Any:
        """Those of the inputs, their shapes or masks, that are outputs."""
        if self.output_axis is None:
            return items
        if isinstance(self.output_axis, (list, tuple)):
            return [items[place] for place in self.output_axis]
        return items[self.output_axis]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.choose(input_shape)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None if mask is None else self.choose(mask)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(output_axis=self.output_axis)
        return config
