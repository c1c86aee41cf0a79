"""Gated attention units. Einsum letters: b batch, j query, k key, d size."""

from __future__ import annotations

from typing import Any, Callable

from bert4keras3.backend import (
    Tensor,
    Tensors,
    apply_rotary_position_embeddings,
    attention_normalize,
    build_child,
    dense,
    get_activation,
    keras,
    ops,
    recompute_grad,
)
from bert4keras3.layers.configuration import ConfiguredLayer
from bert4keras3.layers.dropout import Dropout
from bert4keras3.layers.initialization import inner_dense
from bert4keras3.layers.normalization import ScaleOffset


class GatedAttentionUnit(ConfiguredLayer):
    """u · (attention of one head over v) → Dense. One Dense makes u, v and a base of q and k.

    https://arxiv.org/abs/2202.10447 , https://kexue.fm/archives/8934
    Inputs: x, or [x, biases …] with `a_bias` and `p_bias` as in MultiHeadAttention. Without `self_attention` the
    inputs are [q, k, v, biases …].
    Weights: kernel (and bias) of i_dense, gamma (and beta) of q_scaleoffset and k_scaleoffset, o_dense. Without
    `self_attention`: kernel (and bias) of uq_dense, k_dense, v_dense, o_dense.

    Args:
        units: size of u and v.
        key_size: size of q and k.
        activation: of u, v and the base.
        use_bias: whether the Dense layers have biases, and q and k offsets.
        normalization: of the scores, a name that `attention_normalize` knows.
        self_attention: False if queries, keys and values are inputs of their own.
        attention_scale: divide the scores by the square root of `key_size`.
        attention_dropout: rate of the dropout of the attention weights; None for no dropout.
        kernel_initializer: of the Dense layers.
    """

    def __init__(
        self,
        units: int,
        key_size: int,
        activation: None | str | Callable = "swish",
        use_bias: bool = True,
        normalization: str = "squared_relu",
        self_attention: bool = True,
        attention_scale: bool = True,
        attention_dropout: float | None = None,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.key_size = key_size
        self.activation = get_activation(activation)
        self.use_bias = use_bias
        self.normalization = normalization
        self.self_attention = self_attention
        self.attention_scale = attention_scale
        self.attention_dropout = attention_dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        if attention_dropout:
            self.dropout = Dropout(attention_dropout)

    def build(self, input_shape: Any) -> None:
        shapes = input_shape if isinstance(input_shape[0], (list, tuple)) else [input_shape]
        query = tuple(shapes[0])
        if self.self_attention:
            self.i_dense = inner_dense(
                self, 2 * self.units + self.key_size, query, "i_dense", self.activation
            )
            inner = query[:-1] + (self.key_size,)
            self.q_scaleoffset = build_child(ScaleOffset(offset=self.use_bias, name="q_scaleoffset"), inner)
            self.k_scaleoffset = build_child(ScaleOffset(offset=self.use_bias, name="k_scaleoffset"), inner)
        else:
            self.uq_dense = inner_dense(self, self.units + self.key_size, query, "uq_dense", self.activation)
            self.k_dense = inner_dense(self, self.key_size, shapes[1], "k_dense", self.activation)
            self.v_dense = inner_dense(self, self.units, shapes[2], "v_dense", self.activation)
        self.o_dense = inner_dense(self, query[-1], query[:-1] + (self.units,), "o_dense")
        self.built = True

    @recompute_grad
    def call(
        self,
        inputs: Tensors,
        mask: Tensors = None,
        a_bias: bool | None = None,
        p_bias: str | None = None,
        training: bool | None = None,
    ) -> Tensors:
        if isinstance(mask, (list, tuple)):
            mask = mask[0] if self.self_attention else mask[2]
        u, q, k, v, bias = self.project(inputs, a_bias, p_bias)
        return self.attend(u, q, k, v, mask, bias, training)

    def call_cached(
        self,
        inputs: Tensors,
        cache: Any,
        positions: Tensor,
        a_bias: bool | None = None,
        p_bias: str | None = None,
    ) -> Tensor:
        """`call` for new tokens. The cache has the keys and values of earlier tokens, the keys after rotation.

        Raises:
            ValueError: if the layer was made without `self_attention`.
        """
        if not self.self_attention:
            raise ValueError(f"{self.name}: built with self_attention=False, which generation cannot cache")
        u, q, k, v, bias = self.project(inputs, a_bias, p_bias)
        k, v = cache.extend(k, v)
        return self.attend(u, q, k, v, cache.key_mask, bias, training=False)

    def project(self, inputs: Tensors, a_bias: bool | None, p_bias: str | None) -> Tensors:
        """Compute u, q, k and v, (batch, length, units or key_size), q and k after rotation, and the score bias."""
        inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        if self.self_attention:
            x = dense(self.i_dense, inputs[0])
            u, v = x[..., : self.units], x[..., self.units : 2 * self.units]
            base = x[..., 2 * self.units :]
            q, k, extra = self.q_scaleoffset(base), self.k_scaleoffset(base), inputs[1:]
        else:
            uq = dense(self.uq_dense, inputs[0])
            u, q = uq[..., : self.units], uq[..., self.units :]
            k, v, extra = dense(self.k_dense, inputs[1]), dense(self.v_dense, inputs[2]), inputs[3:]
        bias = extra.pop(0) if a_bias else None
        if p_bias == "rotary":
            q, k = apply_rotary_position_embeddings(extra[0], q, k)
        return u, q, k, v, bias

    def attend(
        self,
        u: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor,
        bias: Tensor,
        training: bool | None = None,
    ) -> Tensor:
        """Gate the attention over v by u, and project it: (batch, query, size)."""
        a = ops.einsum("bjd,bkd->bjk", q, k)
        if self.attention_scale:
            a = a / self.key_size**0.5
        weights = attention_normalize(a, mask, -1, self.normalization, bias)
        if self.attention_dropout:
            weights = self.dropout(weights, training=training)
        return dense(self.o_dense, u * ops.einsum("bjk,bkd->bjd", weights, v))  # (batch, query, size)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return mask[0] if isinstance(mask, (list, tuple)) else mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0] if isinstance(input_shape[0], (list, tuple)) else input_shape)
