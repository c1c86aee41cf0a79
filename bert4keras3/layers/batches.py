"""Layers that split a batch into parts and join the parts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Sequence

import numpy as np

from bert4keras3.backend import Layer, Tensors, operation, ops
from bert4keras3.layers.configuration import ConfiguredLayer


@operation
def batch_parts(x, parts):
    """List of the parts of the first axis."""
    size = ops.shape(x)[0]
    if np.ndim(parts):
        # fractions of integers, because the size may be symbolic
        shares = [
            Fraction(sum(parts[:i]) / sum(parts)).limit_denominator(10000) for i in range(1, len(parts))
        ]
        ends = [size * share.numerator // share.denominator for share in shares]
    else:
        ends = [-(-size // parts) * i for i in range(1, parts)]
    return [x[start:end] for start, end in zip([0] + ends, ends + [None])]


@operation
def batch_of_masks(*masks):
    return ops.concatenate(masks, axis=0)


class BatchSplit(ConfiguredLayer):
    """Split the first axis: one tensor → a list of its parts; a list → all parts of its first tensor, of its second, …

    Args:
        parts: number of parts, or a list of their relative sizes, such as [3, 1].
    """

    def __init__(self, parts: int | Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parts = parts

    @property
    def count(self):
        """Number of parts."""
        return len(self.parts) if np.ndim(self.parts) else self.parts

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        # a sum, because TF 1.15's AutoGraph cannot resolve names in a comprehension with two loops
        return sum([batch_parts(x, parts=self.parts) for x in tensors], [])

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        count = len(inputs) if isinstance(inputs, (list, tuple)) else 1
        masks = mask if isinstance(mask, (list, tuple)) else [mask] * count
        return [
            part
            for one in masks
            for part in ([None] * self.count if one is None else batch_parts(one, parts=self.parts))
        ]

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = input_shape if isinstance(input_shape[0], (list, tuple)) else [input_shape]
        return [(None,) + tuple(shape[1:]) for shape in shapes for _ in range(self.count)]


class BatchConcat(Layer):
    """Concatenate along the first axis; the output has a mask if all inputs have one."""

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return ops.concatenate(inputs, axis=0)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        if mask is None or any(one is None for one in mask):
            return None
        return batch_of_masks(*mask)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (None,) + tuple(input_shape[0][1:])
