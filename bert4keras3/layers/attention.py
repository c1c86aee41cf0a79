"""Multi-head attention. Einsum letters: b batch, j query, k key, h head, d size."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import (
    Tensor,
    Tensors,
    align,
    apply_rotary_position_embeddings,
    attention,
    attention_normalize,
    build_child,
    dense,
    dense_group,
    dtype_name,
    flatten,
    keras,
    mask_value,
    ops,
    recompute_grad,
    sequence_masking,
    use_fused_ops,
)
from bert4keras3.layers.configuration import ConfiguredLayer
from bert4keras3.layers.dropout import Dropout
from bert4keras3.layers.initialization import fresh


class MultiHeadAttention(ConfiguredLayer):
    """Dense q, k, v → scores → (+ bias) → weights → Dense: https://arxiv.org/abs/1706.03762

    Inputs: [query, key, value], then the biases that the arguments of the call name.
    `a_bias=True`: a bias of the scores, (query, key), (batch, query, key) or (batch, head, query, key). Bools are a
    mask, numbers are added.
    `p_bias`: the kind of the position bias. "rotary" is (1 or batch, length, key_size). "typical_relative" is
    (query, key, key_size), for keys and values. "t5_relative" is (query, key, head).
    Weights: kernel (and bias) of q_dense, k_dense, v_dense, o_dense.
    Subclasses may override `pay_attention_to`.

    Args:
        heads: number of heads.
        head_size: size of a value head.
        out_dim: size of the outputs; None for heads · head_size.
        key_size: size of a head of queries and keys; None for `head_size`.
        use_bias: whether the Dense layers have biases.
        normalization: of the scores, a name that `attention_normalize` knows.
        attention_scale: divide the scores by the square root of `key_size`.
        attention_dropout: rate of the dropout of the attention weights; None for no dropout.
        return_attention_scores: also return the scores before bias and softmax, (batch, head, query, key).
        kernel_initializer: of the Dense layers.
    """

    def __init__(
        self,
        heads: int,
        head_size: int,
        out_dim: int | None = None,
        key_size: int | None = None,
        use_bias: bool = True,
        normalization: str = "softmax",
        attention_scale: bool = True,
        attention_dropout: float | None = None,
        return_attention_scores: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.key_size = key_size or head_size
        self.head_size = head_size
        self.out_dim = out_dim or heads * head_size
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.attention_scale = attention_scale
        self.normalization = normalization
        self.attention_dropout = attention_dropout
        self.return_attention_scores = return_attention_scores
        self.q_dense = self.dense(self.key_size * heads, "q_dense")
        self.k_dense = self.dense(self.key_size * heads, "k_dense")
        self.v_dense = self.dense(self.head_size * heads, "v_dense")
        self.o_dense = self.dense(self.out_dim, "o_dense")
        if attention_dropout:
            self.dropout = Dropout(attention_dropout)

    @property
    def scale(self) -> float:
        """Factor of the scores."""
        return self.key_size**-0.5 if self.attention_scale else 1.0

    def dense(self, units: int, name: str) -> Any:
        """Make a projection of this layer, not yet built."""
        return keras.layers.Dense(
            units, use_bias=self.use_bias, kernel_initializer=fresh(self.kernel_initializer), name=name
        )

    def build(self, input_shape: Any) -> None:
        query, key, value = input_shape[:3]
        build_child(self.q_dense, query)
        build_child(self.k_dense, key)
        build_child(self.v_dense, value)
        build_child(self.o_dense, tuple(query[:-1]) + (self.head_size * self.heads,))
        self.built = True

    @recompute_grad
    def call(
        self,
        inputs: Tensors,
        mask: Tensors = None,
        a_bias: bool | None = None,
        p_bias: str | None = None,
        training: bool | None = None,
        **kwargs: Any,
    ) -> Tensors:
        # the biases are named here: Keras 3 forgets all masks if keyword arguments hold nothing but None
        qw = self.split_heads(dense(self.q_dense, inputs[0]), self.key_size)
        masks = [None, None] if mask is None else [mask[0], mask[2]]
        heads = [qw, *self.project_source(inputs)]
        o, a = self.attend(
            heads + list(inputs[3:]), masks, a_bias=a_bias, p_bias=p_bias, training=training, **kwargs
        )
        return [o, a] if self.return_attention_scores else o

    def call_cached(self, inputs: Tensors, cache: Any, positions: Tensor, **arguments: Any) -> Tensor:
        """`call` for new tokens. The cache has the keys and values of earlier tokens, the keys after rotation.

        Keys and values of an encoder's output, which is not the query, are computed at the prefill alone.
        """
        (query, source), biases = inputs[:2], list(inputs[3:])
        if source is query:
            qw, kw, vw = dense_group([self.q_dense, self.k_dense, self.v_dense], query)
            qw, kw = self.split_heads(qw, self.key_size), self.split_heads(kw, self.key_size)
            vw = self.split_heads(vw, self.head_size)
            if arguments.get("p_bias") == "rotary":
                qw, kw = apply_rotary_position_embeddings(biases.pop(), qw, kw)
                arguments["p_bias"] = None
            # the cache is by heads, as the matmuls read it: XLA would transpose it for each token
            kw, vw = map(swap, cache.extend(swap(kw), swap(vw), axis=2))
            mask = cache.key_mask
        else:
            qw = self.split_heads(dense(self.q_dense, query), self.key_size)
            (kw, vw), mask = cache.extend_cross(lambda: self.project_source(inputs)), cache.context_mask
        return self.attend([qw, kw, vw] + biases, [None, mask], **arguments)[0]

    def project_source(self, inputs: Tensors) -> Tensors:
        """Compute the keys (batch, key, head, key_size) and the values (batch, key, head, head_size)."""
        kw = self.split_heads(dense(self.k_dense, inputs[1]), self.key_size)
        return [kw, self.split_heads(dense(self.v_dense, inputs[2]), self.head_size)]

    def attend(self, inputs: Tensors, mask: Tensors, **arguments: Any) -> Any:
        """`pay_attention_to`, then the last projection: outputs (batch, query, out_dim), and the scores."""
        o, a = self.pay_attention_to(inputs, mask, **arguments)
        return dense(self.o_dense, flatten(o, 2)), a  # (batch, query, out_dim)

    def split_heads(self, x: Tensor, size: int) -> Tensor:
        """(batch, length, heads · size) → (batch, length, heads, size)"""
        return ops.reshape(x, (-1, ops.shape(x)[1], self.heads, size))

    def pay_attention_to(self, inputs: Tensors, mask: Tensors = None, **kwargs: Any) -> Tensor:
        """Attend with every head.

        Args:
            inputs: [q, k, v], each (batch, length, head, size), then the biases.
            mask: [mask of q, mask of v], each (batch, length) or None.
            **kwargs: arguments of the call.

        Returns:
            The heads (batch, query, head, size), and the scores; None for the scores if a fused operator ran.
        """
        (qw, kw, vw), extra = inputs[:3], list(inputs[3:])
        a_bias = extra.pop(0) if kwargs.get("a_bias") else None
        p_bias = kwargs.get("p_bias")
        if p_bias == "rotary":
            qw, kw = apply_rotary_position_embeddings(extra[0], qw, kw)
        if a_bias is not None and len(a_bias.shape) == 3:
            a_bias = align(a_bias, [0, -2, -1], 4)
        if self.may_fuse(qw, kw, p_bias, kwargs.get("training")):
            bias = self.fused_bias(qw, extra, mask[1], a_bias, p_bias)
            return attention(qw, kw, vw, bias, self.scale), None
        if self.attention_scale:  # the queries, as there are more scores
            qw = qw * self.scale
        a = ops.einsum("bjhd,bkhd->bhjk", qw, kw)
        if p_bias == "typical_relative":
            a = a + ops.einsum("bjhd,jkd->bhjk", qw, extra[0])
        elif p_bias == "t5_relative":
            a = a + ops.expand_dims(ops.transpose(extra[0], (2, 0, 1)), 0) * self.scale
        weights = attention_normalize(a, mask[1], -1, self.normalization, a_bias)
        if self.attention_dropout:
            weights = self.dropout(weights, training=kwargs.get("training"))
        # as einsum, XLA would compute its transpose, slower by a third
        o = ops.transpose(ops.matmul(weights, ops.transpose(vw, (0, 2, 1, 3))), (0, 2, 1, 3))
        if p_bias == "typical_relative":
            o = o + ops.einsum("bhjk,jkd->bjhd", weights, extra[0])
        return o, a

    def may_fuse(self, qw: Tensor, kw: Tensor, p_bias: str | None, training: bool | None) -> bool:
        """Whether one fused operator computes the attention with the same results."""
        return (
            use_fused_ops(qw, kw, training)
            and type(self) is MultiHeadAttention  # a subclass may want the scores
            and not self.return_attention_scores
            and self.normalization == "softmax"
            and p_bias != "typical_relative"
            and not (self.attention_dropout and training)
            and dtype_name(qw) != "float64"
        )

    def fused_bias(
        self, qw: Tensor, extra: Tensors, mask: Tensors, a_bias: bool | None, p_bias: str | None
    ) -> Tensor:
        """Join all that is added to the scores or masks them.

        A masked score gets a large negative number, as in `attention_normalize`. With −inf, a query that attends to
        no key would be NaN.

        Returns:
            A bias that broadcasts to (batch, head, query, key); None for no bias.
        """
        if p_bias == "t5_relative":
            bias = ops.expand_dims(ops.transpose(extra[0], (2, 0, 1)), 0) * self.scale
        elif mask is None and a_bias is None:
            return None
        else:
            bias = ops.zeros((1, 1, 1, 1), dtype=dtype_name(qw))
        return sequence_masking(bias, mask, mask_value(bias), -1, a_bias)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        mask = None if mask is None else mask[0]
        return [mask, None] if self.return_attention_scores else mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        query, key = input_shape[:2]
        o_shape = (query[0], query[1], self.out_dim)
        if self.return_attention_scores:
            return [o_shape, (query[0], self.heads, query[1], key[1])]
        return o_shape


def swap(x: Tensor) -> Tensor:
    """Transpose (batch, length, head, size) to (batch, head, length, size), and back."""
    return ops.transpose(x, (0, 2, 1, 3))
