"""T5, T5.1.1 and mT5: https://arxiv.org/abs/1910.10683"""

from __future__ import annotations

import re
from typing import Any

from bert4keras3 import layouts
from bert4keras3.backend import Model, Tensor, Tensors
from bert4keras3.layers import (
    Dense,
    Embedding,
    Input,
    RelativePositionEmbeddingT5,
    ScaleOffset,
)
from bert4keras3.transformers import LM_Mask, Transformer, as_list

GATED = "{wi_0,wi_1,wo}"
FEED_FORWARD = {"t5.1.0": "{wi,wo}", "t5.1.1": GATED, "mt5.1.1": GATED, "umt5": GATED}


class T5_Base(Transformer):
    """Base of encoder and decoder: LN → layer → Dropout → Add, RMS norms, no biases, unscaled attention scores.

    Names of variables are those of https://github.com/google-research/text-to-text-transfer-transformer

    Args:
        version: "t5.1.0" (tied output projection), "t5.1.1" (gated feed-forward, own output projection), "mt5.1.1"
            (like "t5.1.1" with other names of variables, as in T5-PEGASUS) or "umt5" (like "t5.1.1", with relative
            positions of its own in each block).
        relative_attention_num_buckets, relative_attention_max_distance: see `RelativePositionEmbeddingT5`.
        kwargs: arguments of `Transformer`.
    """

    norm_place = "before"
    norm_arguments = {"zero_mean": False, "offset": False, "epsilon": 1e-6}
    attention_arguments = {"use_bias": False, "attention_scale": False}
    feed_forward_arguments = {"use_bias": False}
    position_bias_kind = "t5_relative"
    layout_table = {
        "Embedding-Token": layouts.VOCABULARY,
        "Decoder-Output-LM": layouts.VOCABULARY_KERNEL,
        "Transformer-%d-MultiHeadSelfAttention": layouts.ATTENTION,
        "Transformer-%d-MultiHeadCrossAttention": layouts.ATTENTION,
        "Transformer-%d-FeedForward": layouts.FEED_FORWARD,
        **{
            f"{side}-{block}Embedding-Relative-Position": layouts.HEAD_BIAS
            for side in ("Encoder", "Decoder")
            for block in ("", "Transformer-%d-")
        },
    }
    side = ""
    applications = ("encoder",)
    model_type = "t5"

    def __init__(
        self,
        version: str = "t5.1.0",
        relative_attention_num_buckets: int = 32,
        relative_attention_max_distance: int = 128,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if version not in FEED_FORWARD:
            raise ValueError(f"version: expected one of {', '.join(FEED_FORWARD)}, got {version!r}")
        self.version = version
        self.relative_attention_num_buckets = relative_attention_num_buckets
        self.relative_attention_max_distance = relative_attention_max_distance
        self.block = ""  # "Transformer-3-" while a block with positions of its own is built

    @property
    def weight_table(self):
        """Weight table of T5, T5.1.1 or mT5.1.1, depending on `version`."""
        norm = "rms_norm" if self.version == "mt5.1.1" else "layer_norm"
        final_norm = "rms_norm" if self.version == "mt5.1.1" else "final_layer_norm"
        table = {"Embedding-Token": "shared/embedding", "Decoder-Output-LM": "decoder/logits/kernel"}
        for side, parts in (
            ("encoder", ("MultiHeadSelfAttention", "FeedForward")),
            ("decoder", ("MultiHeadSelfAttention", "MultiHeadCrossAttention", "FeedForward")),
        ):
            title = side.title() + "-"
            block, layer = ("Transformer-%d-", "%03d") if self.version == "umt5" else ("", "000")
            positions = f"{side}/block_{layer}/layer_000/SelfAttention/relative_attention_bias"
            table[title + block + "Embedding-Relative-Position"] = positions
            table[title + "Output-Norm"] = f"{side}/{final_norm}/scale"
            for number, part in enumerate(parts):
                layer = f"{side}/block_%03d/layer_{number:03d}/"
                names = {
                    "MultiHeadSelfAttention": "SelfAttention/{q,k,v,o}",
                    "MultiHeadCrossAttention": "EncDecAttention/{q,k,v,o}",
                    "FeedForward": f"DenseReluDense/{FEED_FORWARD[self.version]}/kernel",
                }
                table[title + "Transformer-%d-" + part] = layer + names[part]
                table[title + "Transformer-%d-" + part + "-Norm"] = layer + norm + "/scale"
        return table

    @property
    def huggingface_table(self):
        """`weight_table` with the names of Hugging Face, which are the same for all versions."""
        patterns = (
            (r"shared/embedding", "shared.weight|encoder.embed_tokens.weight|decoder.embed_tokens.weight"),
            (r"decoder/logits/kernel", "lm_head.weight.T|shared.weight.T"),
            (r"/block_000/", ".block.0."),
            (r"/block_%03d/", ".block.%d."),
            (r"layer_00(\d)/", r"layer.\1."),
            (r"(final_layer|layer|rms)_norm/scale", r"\1_norm.weight"),
            (r"Attention/(.*)", r"Attention.\1.weight.T"),
            (r"DenseReluDense/(.*)/kernel", r"DenseReluDense.\1.weight.T"),
            (r"(.*coder)/(rms|final_layer)_norm", r"\1.final_layer_norm"),
            (r"rms_norm", "layer_norm"),
        )
        table = dict(self.weight_table)
        for pattern, name in patterns:
            table = {layer: re.sub(pattern, name, names) for layer, names in table.items()}
        return table

    def start_block(self, index: int) -> None:
        """Forget the positions of the last block if each block has its own."""
        if self.version == "umt5":
            self.position_bias, self.block = None, f"Transformer-{index}-"

    def apply_main_layers(self, inputs: Tensors, index: int) -> Tensors:
        self.start_block(index)
        return super().apply_main_layers(inputs, index)

    def apply_side_embedding(self, x: Tensor) -> Tensor:
        """(batch, length) → (batch, length, hidden_size), with dropout."""
        x = self.apply_token_embedding(x)
        x = self.apply_dropout(x, self.side + "-Embedding-Dropout")
        if self.embedding_size != self.hidden_size:
            x = self.apply_dense(x, self.hidden_size, self.side + "-Embedding-Mapping")
        return x  # (batch, length, hidden_size)

    def apply_dense(self, x: Tensor, units: int, name: str, **arguments: Any) -> Tensor:
        """A Dense: (…, size) → (…, units)."""
        return self.apply(
            x, layer=Dense, units=units, kernel_initializer=self.initializer, name=name, **arguments
        )

    def apply_output_norm(self, x: Tensor) -> Tensor:
        """Last norm and dropout of encoder or decoder: (batch, length, hidden_size)."""
        x = self.apply_norm(x, self.side + "-Output-Norm", **self.norm_arguments)
        return self.apply_dropout(x, self.side + "-Output-Dropout")

    def apply_relative_position(self, query: Tensor, key: Tensor, bidirectional: bool) -> Tensor:
        """Bias of each head for each pair of tokens: (query length, key length, heads)."""
        return self.apply(
            [query, key],
            layer=RelativePositionEmbeddingT5,
            input_dim=self.relative_attention_num_buckets,
            output_dim=self.num_attention_heads,
            max_distance=self.relative_attention_max_distance,
            bidirectional=bidirectional,
            embeddings_initializer=self.initializer,
            name=f"{self.side}-{self.block}Embedding-Relative-Position",
        )  # (query, key, head)

    def load_variable(self, checkpoint: Any, name: str) -> Any:
        variable = super().load_variable(checkpoint, name)
        if name == "shared/embedding":
            return self.load_embeddings(variable)
        if name == "decoder/logits/kernel":
            return self.load_embeddings(variable.T).T
        if "relative_attention_bias" in name:  # stored (head, bucket)
            return variable.T
        return variable

    def create_variable(self, name: str, value: Tensor, dtype: str | None = None) -> Any:
        if "relative_attention_bias" in name:
            value = value.T
        return super().create_variable(name, value, dtype)


class T5_Encoder(T5_Base):
    """Input: token ids. Output: (batch, length, hidden_size)."""

    side = "Encoder"
    layer_prefix = "Encoder-Transformer-%d-"

    def get_inputs(self) -> Tensors:
        return self.apply_input("Encoder-Input-Token")

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        return self.apply_side_embedding(inputs)

    def apply_final_layers(self, inputs: Tensors) -> Tensors:
        return self.apply_output_norm(inputs)

    def compute_position_bias(self, inputs: Tensors = None) -> Tensor:
        if self.position_bias is None:
            self.position_bias = self.apply_relative_position(inputs, inputs, bidirectional=True)
        return self.position_bias


class T5_Decoder(LM_Mask, T5_Base):
    """LN → Att → Add → LN → cross Att → Add → LN → FFN → Add. Inputs: the encoder's output, token ids.

    Args:
        with_lm: True or an activation: output the vocabulary, (batch, length, vocab_size).
        cross_position_bias: whether the cross attention has relative positions too.
        scale_output: whether the last hidden states are divided by √`hidden_size`. None: they are, but
            `save_pretrained` writes T5.1.1 as it was released, without the division.
        kwargs: arguments of `T5_Base`.
    """

    side = "Decoder"
    layer_prefix = "Decoder-Transformer-%d-"

    def __init__(
        self,
        with_lm: Any = True,
        cross_position_bias: bool = True,
        scale_output: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.scale_output = scale_output
        self.with_lm = with_lm
        self.cross_position_bias = cross_position_bias

    def get_inputs(self) -> Tensors:
        context = self.apply(
            layer=Input, shape=(self.sequence_length, self.hidden_size), name="Input-Context"
        )
        return [context, self.apply_input("Decoder-Input-Token")]

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        context, x = inputs
        return [context, self.apply_side_embedding(x)]

    def apply_main_layers(self, inputs: Tensors, index: int) -> Tensors:
        self.start_block(index)
        context, x = inputs
        attention_bias = self.compute_attention_bias(index)
        self_position, cross_position = self.compute_position_bias([x, context])

        def self_attention(x, name):
            return self.apply_multi_head_attention([x, x, x], name, attention_bias, self_position)

        def cross_attention(x, name):
            bias = cross_position if self.cross_position_bias else None
            return self.apply_multi_head_attention([x, context, context], name, position_bias=bias)

        x = self.apply_residual(x, self_attention, self.block_name(index, "MultiHeadSelfAttention"))
        x = self.apply_residual(x, cross_attention, self.block_name(index, "MultiHeadCrossAttention"))
        x = self.apply_residual(x, self.apply_feed_forward, self.block_name(index, "FeedForward"))
        return [context, x]

    def apply_final_layers(self, inputs: Tensors) -> Tensors:
        _, x = inputs
        x = self.apply_output_norm(x)
        if self.scale_output is not False:
            x = self.apply(
                x, layer=ScaleOffset, scale=self.hidden_size**-0.5, offset=False, name="Decoder-Output-Scale"
            )
        if not self.with_lm:
            return x
        activation = "softmax" if self.with_lm is True else self.with_lm
        if self.embedding_size != self.hidden_size:
            x = self.apply_dense(x, self.embedding_size, "Decoder-Output-Mapping")
        if self.version == "t5.1.0":
            x = self.apply(x, layer=Embedding, arguments={"mode": "dense"}, name="Embedding-Token")
            return self.apply_activation(x, activation, "Decoder-Output-LM-Activation")
        return self.apply_dense(
            x,
            self.vocab_size,
            "Decoder-Output-LM",
            activation=activation,
            use_bias=False,
            **self.wide_output(x),
        )

    @property
    def mask_input(self) -> Tensor:
        """The decoder's token ids, (batch, length)."""
        return self.inputs[1]

    def compute_position_bias(self, inputs: Tensors = None) -> Tensor:
        if self.position_bias is None:
            x, context = inputs
            self.position_bias = (
                self.apply_relative_position(x, x, bidirectional=False),
                self.apply_relative_position(x, context, bidirectional=False),
            )
        return self.position_bias


class T5(T5_Base):
    """Encoder and decoder: `.encoder`, `.decoder` and, end to end, `.model` are Keras models with shared layers."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        name = kwargs.pop("name", None)
        names = [f"{name}_{part}" if name else part for part in ("Encoder", "Decoder")]
        kwargs["layers"] = self.layers
        self._encoder = T5_Encoder(name=names[0], **kwargs)
        self._decoder = T5_Decoder(name=names[1], **kwargs)

    def build(self, *args: Any, **kwargs: Any) -> None:
        if self.built:
            return
        self._encoder.build(*args, **kwargs)
        self._decoder.build(*args, **kwargs)
        self._decoder.position_bias = None  # computed again for the encoder's output
        self.encoder, self.decoder = self._encoder.model, self._decoder.model
        self.set_inputs(self._encoder.inputs + self._decoder.inputs[1:])
        self.set_outputs(self._decoder.call(self._encoder.outputs + as_list(self._decoder.inputs[1:])))
        self.model = Model(self.input, self.output)
        self.built = True
