"""Batches in parts, for data parallelism by hand."""

import numpy as np

from bert4keras3.backend import Layer, ops


class BatchSplit(Layer):
    """Cut the first axis. parts: their number, or a list of what each takes of the batch, such as [3, 1].

    One tensor → a list of its parts; a list of tensors → the parts of the first, those of the second …
    """

    def __init__(self, parts, **kwargs):
        super(BatchSplit, self).__init__(**kwargs)
        self.parts = parts

    @property
    def count(self):
        return len(self.parts) if np.ndim(self.parts) else self.parts

    def ends(self, size):
        """Where each part but the last ends in a batch of this size, an int or a tensor."""
        if not np.ndim(self.parts):
            stride = -(-size // self.parts)
            return [stride * i for i in range(1, self.parts)]
        shares = np.cumsum(self.parts)[:-1].astype("float64")
        if isinstance(size, int):
            return [int(share * size / sum(self.parts)) for share in shares]
        size = ops.cast(size, "float64")
        return [ops.cast(share * size / sum(self.parts), "int32") for share in shares]

    def call(self, inputs, mask=None):
        if isinstance(inputs, (list, tuple)):
            return [part for one in inputs for part in self.call(one)]
        ends = self.ends(ops.shape(inputs)[0])
        return [inputs[start:end] for start, end in zip([0] + ends, ends + [None])]

    def compute_mask(self, inputs, mask=None):
        many = isinstance(inputs, (list, tuple))
        masks = (mask or [None] * len(inputs)) if many else [mask]
        return [
            part for one in masks for part in (self.call(one) if one is not None else [None] * self.count)
        ]

    def compute_output_shape(self, input_shape):
        shapes = input_shape if isinstance(input_shape[0], (list, tuple)) else [input_shape]
        return [(None,) + tuple(shape[1:]) for shape in shapes for _ in range(self.count)]

    def get_config(self):
        config = super(BatchSplit, self).get_config()
        config.update(parts=self.parts)
        return config


class BatchConcat(Layer):
    """Join along the first axis; masked where all inputs are."""

    def call(self, inputs, mask=None):
        return ops.concatenate(inputs, axis=0)

    def compute_mask(self, inputs, mask=None):
        if mask is None or any(one is None for one in mask):
            return None
        return ops.concatenate(mask, axis=0)

    def compute_output_shape(self, input_shape):
        return (None,) + tuple(input_shape[0][1:])
