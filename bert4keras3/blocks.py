"""The Transformer block of all models, as residual sub-blocks: x + Dropout(Layer(x)), normalized.

A model states the differences of its block in the attributes below, or overrides a method.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable

from bert4keras3.backend import Tensor, Tensors
from bert4keras3.layers import Add, Dropout, FeedForward, LayerNormalization, MultiHeadAttention

Mixin: Any = object  # for mypy: what a mixin uses is in the class that it is mixed into


class ResidualBlocks(Mixin):
    """Att → Dropout → Add → LN → FFN → Dropout → Add → LN

    Attributes:
        norm_place: "after" the sum, as above, or "before" each layer.
        norm_arguments, attention_arguments, feed_forward_arguments: arguments of these layers.
        position_bias_kind: `p_bias` of the attention layers.
        layer_prefix: prefix of all names in a block; %d is the number of the block.
    """

    norm_place = "after"
    norm_arguments: dict[str, Any] = {"epsilon": 1e-12}
    attention_arguments: dict[str, Any] = {}
    feed_forward_arguments: dict[str, Any] = {}
    position_bias_kind: str | None = None
    layer_prefix = "Transformer-%d-"

    def apply_main_layers(self, inputs: Tensors, index: int) -> Tensors:
        """Block number `index`: (batch, length, hidden_size) → the same shape."""
        attention_bias = self.compute_attention_bias(index)
        position_bias = self.compute_position_bias(inputs)

        needed = partial(self.needed_tokens, index=index)

        def self_attention(x, name):
            return self.apply_multi_head_attention([needed(x), x, x], name, attention_bias, position_bias)

        name = self.block_name(index, "MultiHeadSelfAttention")
        x = self.apply_residual(inputs, self_attention, name, needed)
        return self.apply_residual(x, self.apply_feed_forward, self.block_name(index, "FeedForward"))

    def block_name(self, index: int, part: str) -> str:
        """Name of a layer in a block, such as "Transformer-0-MultiHeadSelfAttention"."""
        return self.layer_prefix.replace("%d", str(index)) + part

    def needed_tokens(self, x: Tensor, index: int) -> Tensor:
        """The tokens of x whose outputs of block number `index` are needed: all, (batch, length, hidden_size)."""
        return x

    def apply_residual(
        self, x: Tensor, apply_layer: Callable, name: str, needed: Callable = lambda x: x
    ) -> Tensor:
        """x + Dropout(layer(x)) with its normalization.

        Args:
            x: (batch, length, hidden_size).
            apply_layer: (x, name) → y, of the needed tokens.
            name: of the layer.
            needed: x → the tokens of x whose outputs are needed.
        """
        before = self.norm_place == "before"
        y = self.apply_norm(x, name + "-Norm", **self.norm_arguments) if before else x
        y = self.apply_add(needed(x), apply_layer(y, name), name)
        return y if before else self.apply_norm(y, name + "-Norm", **self.norm_arguments)

    def apply_add(self, x: Tensor, y: Tensor, name: str) -> Tensor:
        """x + Dropout(y), both (batch, length, hidden_size)."""
        y = self.apply_dropout(y, name + "-Dropout")
        return self.apply([x, y], layer=Add, name=name + "-Add")  # (batch, length, hidden_size)

    def apply_multi_head_attention(
        self, inputs: Tensors, name: str, attention_bias: Tensor = None, position_bias: Tensor = None
    ) -> Tensor:
        """Attention of inputs [query, key, value], to which the biases are appended."""
        arguments: dict[str, Any] = {}
        if attention_bias is not None:
            inputs, arguments["a_bias"] = inputs + [attention_bias], True
        if position_bias is not None:
            inputs, arguments["p_bias"] = inputs + [position_bias], self.position_bias_kind
        return self.apply(
            inputs,
            layer=MultiHeadAttention,
            name=name,
            arguments=arguments,
            heads=self.num_attention_heads,
            key_size=self.attention_key_size,
            head_size=self.attention_head_size,
            out_dim=self.hidden_size,
            kernel_initializer=self.initializer,
            attention_dropout=self.attention_dropout_rate,
            **self.attention_arguments,
        )

    def apply_feed_forward(self, x: Tensor, name: str) -> Tensor:
        """(batch, length, hidden_size) → the same shape."""
        return self.apply(
            x,
            layer=FeedForward,
            units=self.intermediate_size,
            activation=self.hidden_act,
            kernel_initializer=self.initializer,
            name=name,
            **self.feed_forward_arguments,
        )

    def apply_dropout(self, x: Tensor, name: str) -> Tensor:
        """Dropout at the model's rate; any shape."""
        return self.apply(x, layer=Dropout, rate=self.dropout_rate, name=name)

    def apply_norm(self, x: Tensor, name: str, **arguments: Any) -> Tensor:
        """Layer normalization; it is conditional if the model was built with `layer_norm_cond`."""
        condition, hidden_units, hidden_activation = self.layer_norm_conds
        return self.apply(
            self.simplify([x, condition]),
            layer=LayerNormalization,
            conditional=condition is not None,
            hidden_units=hidden_units,
            hidden_activation=hidden_activation,
            hidden_initializer=self.initializer,
            name=name,
            **arguments,
        )
