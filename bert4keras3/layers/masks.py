"""Attention masks as layers: which query may attend to which key."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import Layer, Tensor, Tensors, mask_value, ops, sequence_masking


def at_or_before(keys: Tensor, queries: Tensor) -> Tensor:
    """Places of keys (…, key) and queries (…, query) → bools (…, query, key): keys at their query or before it."""
    axis = len(keys.shape)
    return ops.less_equal(ops.expand_dims(keys, axis - 1), ops.expand_dims(queries, axis))


class AttentionMask(Layer):
    """Base: (batch, length) → bools, True if the query (row) may attend to the key (column)."""

    output_dtype = "bool"

    def compute_mask(self, inputs, mask=None):
        return None


class AttentionBias(Layer):
    """The bias of a RealFormer: [mask or bias, scores of the previous layer (batch, head, query, key)].

    The mask has bools or numbers, (query, key) or (batch, query, key). A score whose mask is False becomes a large
    negative number, as in `attention_normalize`. Numbers are added.
    """

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        bias, scores = inputs
        if len(bias.shape) == 3:
            bias = ops.expand_dims(bias, 1)
        return sequence_masking(scores, value=mask_value(scores), bias=bias)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[1])


class CausalMask(AttentionMask):
    """Each token attends to itself and to earlier tokens: (length, length)."""

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        columns = ops.arange(0, ops.shape(inputs)[1], dtype="int32")
        return at_or_before(columns, columns)

    def call_cached(self, inputs: Tensors, cache: Any, positions: Tensor) -> Tensor:
        """`call` for new tokens: (query, key)."""
        return at_or_before(cache.key_columns, cache.query_columns)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[1], input_shape[1])


class UniLMMask(AttentionMask):
    """Segment 0 attends to all of itself, segment 1 to earlier tokens: (batch, length, length).

    UniLM, https://arxiv.org/abs/1905.03197
    """

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        order = ops.cumsum(ops.cast(inputs, "int32"), axis=1)
        return at_or_before(order, order)

    def call_cached(self, inputs: Tensors, cache: Any, positions: Tensor) -> Tensor:
        """`call` for new tokens: (batch, query, key)."""
        keys = cache.order[:, : cache.key_columns.shape[0]]
        return at_or_before(keys, ops.take(cache.order, cache.query_columns, axis=1))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], input_shape[1], input_shape[1])
