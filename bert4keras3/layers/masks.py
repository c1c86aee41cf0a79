"""Attention masks as layers: who may see whom."""

from typing import Any

from bert4keras3.backend import Layer, Tensors, ops


class AttentionMask(Layer):
    """Base: (batch, length) in, bools out, True where the query (row) may see the key (column)."""

    output_dtype = "bool"

    def compute_mask(self, inputs, mask=None):
        return None


class CausalMask(AttentionMask):
    """Each token sees itself and what stands before it: (length, length)."""

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        positions = ops.arange(0, ops.shape(inputs)[1], dtype="int32")
        return ops.less_equal(ops.expand_dims(positions, 0), ops.expand_dims(positions, 1))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[1], input_shape[1])


class UniLMMask(AttentionMask):
    """Segment 0 sees itself both ways, segment 1 what stands before: (batch, length, length).

    UniLM, https://arxiv.org/abs/1905.03197
    """

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        order = ops.cumsum(ops.cast(inputs, "int32"), axis=1)
        return ops.less_equal(ops.expand_dims(order, 1), ops.expand_dims(order, 2))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], input_shape[1], input_shape[1])
