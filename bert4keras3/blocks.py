"""The one Transformer block of all models, as residual sub-blocks: x + Dropout(Layer(x)), normalized.

A model states how its block differs in the attributes below; one that differs more overrides a method.
"""

from typing import Any, Dict

from bert4keras3.layers import Add, Dropout, FeedForward, LayerNormalization, MultiHeadAttention


class ResidualBlocks(object):
    """Att → Dropout → Add → LN → FFN → Dropout → Add → LN"""

    norm_arguments: Dict[str, Any] = {"epsilon": 1e-12}
    layer_prefix = "Transformer-%d-"

    def apply_main_layers(self, inputs, index):
        x = self.apply_self_attention(inputs, index)
        return self.apply_feed_forward(x, index)

    def apply_self_attention(self, x, index):
        attention_bias = self.compute_attention_bias(index)
        inputs, arguments = [x, x, x], {"a_bias": None}
        if attention_bias is not None:
            inputs.append(attention_bias)
            arguments["a_bias"] = True
        return self.apply_residual(
            x,
            inputs,
            layer=MultiHeadAttention,
            arguments=arguments,
            heads=self.num_attention_heads,
            head_size=self.attention_head_size,
            out_dim=self.hidden_size,
            key_size=self.attention_key_size,
            attention_dropout=self.attention_dropout_rate,
            kernel_initializer=self.initializer,
            name=self.layer_prefix % index + "MultiHeadSelfAttention",
        )

    def apply_feed_forward(self, x, index):
        return self.apply_residual(
            x,
            x,
            layer=FeedForward,
            units=self.intermediate_size,
            activation=self.hidden_act,
            kernel_initializer=self.initializer,
            name=self.layer_prefix % index + "FeedForward",
        )

    def apply_residual(self, x, inputs, layer, name, **arguments):
        """x + Dropout(layer(inputs)), normalized: (batch, length, hidden_size)."""
        y = self.apply(inputs, layer=layer, name=name, **arguments)
        y = self.apply_dropout(y, name + "-Dropout")
        y = self.apply([x, y], layer=Add, name=name + "-Add")
        return self.apply_norm(y, name + "-Norm", **self.norm_arguments)

    def apply_dropout(self, x, name):
        return self.apply(x, layer=Dropout, rate=self.dropout_rate, name=name)

    def apply_norm(self, x, name, **arguments):
        """Layer normalization, conditional where the model was built with `layer_norm_cond`."""
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
