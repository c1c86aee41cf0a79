"""Scores of all spans of a sequence, for nested entities. Einsum letters: j start, k end, h head, d size."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import (
    Tensor,
    Tensors,
    apply_rotary_position_embeddings,
    keras,
    ops,
    recompute_grad,
    sequence_masking,
    sinusoidal_embeddings,
    upcast_floatx,
)
from bert4keras3.layers.configuration import ConfiguredLayer
from bert4keras3.layers.initialization import inner_dense


class GlobalPointer(ConfiguredLayer):
    """Scores q · k / sqrt(head_size) of all spans, with rotary positions: https://kexue.fm/archives/8373

    (batch, length, size) → (batch, heads, start, end). A span is an entity if its score is above 0. The score is −inf
    for masked tokens and, with `tril_mask`, if the end is before the start. Weights: kernel (and bias) of dense.

    Args:
        heads: number of entity types.
        head_size: size of q and k.
        RoPE: whether q and k are rotated by their positions.
        use_bias: whether the projection has a bias.
        tril_mask: whether spans whose end is before their start are masked.
        kernel_initializer: initializer of the projection.
    """

    def __init__(
        self,
        heads: int,
        head_size: int,
        RoPE: bool = True,
        use_bias: bool = True,
        tril_mask: bool = True,
        kernel_initializer: Any = "lecun_normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.head_size = head_size
        self.RoPE = RoPE
        self.use_bias = use_bias
        self.tril_mask = tril_mask
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        self.dense = inner_dense(self, self.head_size * self.heads * 2, input_shape, "dense")
        self.built = True

    @recompute_grad
    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        x = self.dense(inputs)
        x = ops.reshape(x, (-1, ops.shape(x)[1], self.heads, 2 * self.head_size))
        q, k = self.rotate(x[..., : self.head_size], x[..., self.head_size :])
        return self.mask_spans(ops.einsum("bjhd,bkhd->bhjk", q, k) / self.head_size**0.5, mask)

    def rotate(self, q: Tensor, k: Tensor) -> Tensors:
        """Rotate queries and keys (batch, length, …, head_size) by their positions if RoPE is True."""
        if not self.RoPE:
            return q, k
        positions = ops.cast(ops.arange(0, ops.shape(q)[1], dtype="int32"), upcast_floatx())
        sinusoidal = ops.expand_dims(sinusoidal_embeddings(positions, self.head_size), 0)
        return apply_rotary_position_embeddings(ops.cast(sinusoidal, q.dtype), q, k)

    def mask_spans(self, scores: Tensor, mask: Tensors) -> Tensor:
        """Scores (batch, heads, start, end), with −inf for padding and for spans whose end is before their start."""
        ordered = None
        if self.tril_mask:
            positions = ops.arange(0, ops.shape(scores)[-1], dtype="int32")
            ordered = ops.less_equal(ops.expand_dims(positions, 1), ops.expand_dims(positions, 0))
        return sequence_masking(scores, mask, float("-inf"), [2, 3], ordered)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.heads, input_shape[1], input_shape[1])


class EfficientGlobalPointer(GlobalPointer):
    """GlobalPointer with one q and k for all heads; each head adds a bias for the start and one for the end.

    https://kexue.fm/archives/8877 . Weights: kernel (and bias) of p_dense, then of q_dense.
    """

    def build(self, input_shape: Any) -> None:
        size = 2 * self.head_size
        self.p_dense = inner_dense(self, size, input_shape, "p_dense")
        self.q_dense = inner_dense(self, 2 * self.heads, tuple(input_shape[:-1]) + (size,), "q_dense")
        self.built = True

    @recompute_grad
    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        x = self.p_dense(inputs)
        q, k = self.rotate(x[..., ::2], x[..., 1::2])
        scores = ops.einsum("bjd,bkd->bjk", q, k) / self.head_size**0.5
        bias = (
            ops.transpose(self.q_dense(x), (0, 2, 1)) / 2
        )  # (batch, 2 · heads, length): start, end, start, …
        scores = ops.expand_dims(scores, 1) + ops.expand_dims(bias[:, ::2], 2)
        return self.mask_spans(scores + ops.expand_dims(bias[:, 1::2], 3), mask)
