"""Transformer: builds a Keras model from a configuration and loads its weights.

A model class defines the order of layers. `apply` creates a layer when its name is first used, and reuses it
afterwards. Names are stable: weights, caches, shared layers and parity reports refer to them.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from bert4keras3 import layouts
from bert4keras3.backend import Model, Tensor, Tensors, dtype_name, get_activation, keras, upcast_floatx
from bert4keras3.blocks import Mixin, ResidualBlocks
from bert4keras3.checkpoints import CheckpointError, open_checkpoint, save_checkpoint
from bert4keras3.checkpoints.huggingface import translate_names
from bert4keras3.generation.legacy_cache_model import OPTION_NAMES, build_prompt_model
from bert4keras3.huggingface import save_pretrained
from bert4keras3.layers import (
    Activation,
    AttentionBias,
    CausalMask,
    Concatenate1D,
    Dropout,
    Embedding,
    Input,
    Lambda,
    MultiHeadAttention,
    UniLMMask,
)
from bert4keras3.vocabulary import check_tokens, select_rows
from bert4keras3.weights import (
    LoadingReport,
    expand_table,
    iterate_weights,
    load_weights,
    resize_like_wider_model,
    rows_of,
    write_once,
)


class Transformer(ResidualBlocks):
    """Base of all models: inputs → embeddings → main layers → final layers.

    Args:
        vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size: as in a configuration file.
        hidden_act: as in a configuration file; a list makes the feed-forward layers gated.
        dropout_rate, attention_dropout_rate: None: 0.
        embedding_size: size of the token embeddings; None: `hidden_size`.
        attention_head_size: size of values; None: hidden_size // num_attention_heads.
        attention_key_size: size of queries and keys; None: `attention_head_size`.
        sequence_length: fixed length of the inputs; None: any length.
        keep_tokens: ids of the vocabulary's rows to keep, in this order.
        compound_tokens: for each token to append, a list of ids of kept rows whose embeddings are averaged, or a pair
            (ids, weights).
        residual_attention_scores: add each layer's scores to the next layer's: https://arxiv.org/abs/2012.11747
        ignore_invalid_weights: log and skip variables that the checkpoint lacks.
        autoresize_weights: repeat or cut variables of another size.
        layers: {name: layer} to share.
        prefix: prefix of all layers' names.
        name: name of the Keras model.
        layer_norm_eps: epsilon of all norms; None: the epsilon of the model class.
        kwargs: temperature, penalty, penalty_window and mask_output for `build_cache_model`; others are ignored.
    """

    weight_table: dict[str, str] = {}
    layout_table = {
        "Embedding-Token": layouts.VOCABULARY,
        "Transformer-%d-MultiHeadSelfAttention": layouts.ATTENTION,
        "Transformer-%d-FeedForward": layouts.FEED_FORWARD,
    }
    huggingface_table: dict[str, str] = {}  # the same layers with the names of Hugging Face
    model_type: str | None = None  # as which `save_pretrained` writes the model
    applications: tuple[str, ...] = ("encoder", "lm", "unilm")
    mask_kind: str | None = None  # "causal" or "UniLM"
    position_ids: Tensor = None  # of a copy for packed rows, (batch, length); None: 0, 1, …
    generation_cache: Any = None  # of a copy that generates, see generation/cached_call.py

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        num_hidden_layers: int,
        num_attention_heads: int,
        intermediate_size: int,
        hidden_act: Any,
        dropout_rate: float | None = None,
        attention_dropout_rate: float | None = None,
        embedding_size: int | None = None,
        attention_head_size: int | None = None,
        attention_key_size: int | None = None,
        sequence_length: int | None = None,
        keep_tokens: Sequence[int] | None = None,
        compound_tokens: Sequence[Any] | None = None,
        residual_attention_scores: bool = False,
        ignore_invalid_weights: bool = False,
        autoresize_weights: bool = False,
        layers: dict[str, Any] | None = None,
        prefix: str | None = None,
        name: str | None = None,
        layer_norm_eps: float | None = None,
        **kwargs: Any,
    ) -> None:
        self.keep_tokens = keep_tokens
        self.compound_tokens = compound_tokens
        self.vocab_size = check_tokens(
            keep_tokens, compound_tokens, vocab_size, "rows of a vocabulary with this vocab_size"
        )
        self.sequence_length = sequence_length
        self.embedding_size = embedding_size or hidden_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        for one in hidden_act if isinstance(hidden_act, (list, tuple)) else [hidden_act]:
            get_activation(one, "hidden_act")
        self.hidden_act = hidden_act
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.attention_head_size = attention_head_size or hidden_size // num_attention_heads
        self.attention_key_size = attention_key_size or self.attention_head_size
        self.layer_norm_eps = layer_norm_eps
        if layer_norm_eps is not None:
            self.norm_arguments = dict(self.norm_arguments, epsilon=layer_norm_eps)
        self.attention_dropout_rate = attention_dropout_rate or 0
        self.dropout_rate = dropout_rate or 0
        self.residual_attention_scores = residual_attention_scores
        self.ignore_invalid_weights = ignore_invalid_weights
        self.autoresize_weights = autoresize_weights
        self.name = name
        self.prefix = prefix or ""
        self.generation_options = {option: kwargs[option] for option in OPTION_NAMES if option in kwargs}
        self.layers = {} if layers is None else layers
        self.attention_bias: Tensor = None
        self.position_bias: Tensors = None
        self.attention_scores = None
        self.built = False

    # Building

    def build(
        self,
        attention_caches: dict[str, Sequence[Any]] | None = None,
        layer_norm_cond: Any = None,
        layer_norm_cond_hidden_size: int | None = None,
        layer_norm_cond_hidden_act: Any = None,
        additional_input_layers: Any = None,
        **kwargs: Any,
    ) -> None:
        """Create the Keras model, `self.model`.

        Args:
            attention_caches: {name of an attention layer: [keys, values]}; the layer's own keys and values are appended
                to these tensors, (batch, length, size).
            layer_norm_cond: (batch, size) tensor, the condition of every layer normalization.
            layer_norm_cond_hidden_size: size of a projection of the condition; None: no projection.
            layer_norm_cond_hidden_act: activation of this projection.
            additional_input_layers: more inputs of the model, for example those of `attention_caches` and
                `layer_norm_cond`.
        """
        if self.built:
            return
        layouts.check_layouts(self)
        inputs = self.get_inputs()
        self.set_inputs(inputs, additional_input_layers)
        self.attention_caches = attention_caches or {}
        activation = get_activation(layer_norm_cond_hidden_act or "linear", "layer_norm_cond_hidden_act")
        self.layer_norm_conds = [layer_norm_cond, layer_norm_cond_hidden_size, activation]
        self.set_outputs(self.call(inputs))
        self.model = Model(self.input, self.output, name=self.name)
        self.built = True

    def build_cache_model(
        self,
        input_lengths: Sequence[int],
        end_token: Any,
        search_mode: str = "greedy",
        k: Any = 1,
        progress_print: bool = False,
        index_bias: int = 0,
        **options: Any,
    ) -> Any:
        """A model whose `predict` takes padded prompts and returns padded sequences, for scripts of bert4keras3 1.x.

        New code uses bert4keras3.generation.Generator.

        Args:
            input_lengths: lengths of the inputs; the length of the generated input bounds the sequence.
            end_token: id of the end token, or a list of ids.
            search_mode: "greedy", "topk" or "topp".
            k: for "topk" the number of candidates; for "topp" the probability, or [probability, number of candidates].
            progress_print: print a count of the tokens.
            index_bias: number of leading tokens that belong to the prompt even if they are 0.
            options: temperature, penalty, penalty_window and mask_output, which replace those of the model, and options
                of `Generator.generate`, such as seed.
        """
        return build_prompt_model(
            self, input_lengths, end_token, search_mode, k, progress_print, index_bias, **options
        )

    def call(self, inputs: Tensors) -> Tensors:
        """Embeddings → main layers → final layers."""
        outputs = self.apply_embeddings(inputs)
        for index in range(self.num_hidden_layers):
            outputs = self.apply_main_layers(outputs, index)
        return self.apply_final_layers(outputs)

    def prefixed(self, name: str | None) -> str | None:
        """Name of a layer with the model's prefix."""
        return None if name is None else self.prefix + name

    def apply(
        self, inputs: Any = None, layer: Any = None, arguments: dict | None = None, **kwargs: Any
    ) -> Tensors:
        """Call the layer with this name; the first use creates it as `layer(**kwargs)`.

        Args:
            inputs: inputs of the layer; None: return the layer itself.
            layer: class of the layer.
            arguments: arguments of the layer's call.
            kwargs: arguments of the class, with `name`.
        """
        if layer is Dropout and self.dropout_rate == 0:
            return inputs
        name = self.prefixed(kwargs.get("name"))
        kwargs["name"] = name
        if layer is Input:  # never shared: two models with the same layers have their own inputs
            return layer(**kwargs)
        arguments = dict(arguments or {})
        if layer is Lambda:
            kwargs["arguments"], arguments = arguments, {}
        if layer is MultiHeadAttention and self.residual_attention_scores:
            kwargs["return_attention_scores"] = True
        if isinstance(kwargs.get("activation"), str):
            kwargs["activation"] = get_activation(kwargs["activation"], f"activation of layer {name}")
        if name not in self.layers:
            created = layer(**kwargs)
            name = created.name
            self.layers[name] = created
        layer = self.layers[name]
        if inputs is None:
            return layer
        return self.call_layer(layer, inputs, arguments)

    def call_layer(self, layer: Any, inputs: Tensors, arguments: dict[str, Any]) -> Tensors:
        """Call a layer for `apply`: as Keras does, or with cached keys and values."""
        if self.generation_cache is not None:
            return self.generation_cache.call(layer, inputs, arguments)
        if isinstance(layer, MultiHeadAttention):
            return self.apply_attention(inputs, layer, arguments)
        return layer(inputs, **arguments)

    def apply_attention(self, inputs: Tensors, layer: Any, arguments: dict[str, Any]) -> Tensor:
        """Call an attention layer with its caches and, in a RealFormer, the scores of the previous layer."""
        inputs = list(inputs)
        if layer.name in self.attention_caches:
            for place, cache, part in zip((1, 2), self.attention_caches[layer.name], ("Key", "Value")):
                join = Concatenate1D(name=f"{layer.name}-Cached-{part}")
                inputs[place] = join([cache, inputs[place]])
        if not self.residual_attention_scores:
            return layer(inputs, **arguments)
        if self.attention_scores is not None:
            if arguments.get("a_bias"):
                join = AttentionBias(name=layer.name + "-Attention-Bias")
                inputs[3] = join([inputs[3], self.attention_scores])
            else:
                inputs.insert(3, self.attention_scores)
                arguments["a_bias"] = True
        outputs, self.attention_scores = layer(inputs, **arguments)
        return outputs

    def get_inputs(self) -> Tensors:
        """The model's own inputs: one tensor or a list."""
        raise NotImplementedError(f"{type(self).__name__} has no get_inputs")

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        """Inputs → input of the first block."""
        raise NotImplementedError(f"{type(self).__name__} has no apply_embeddings")

    def apply_final_layers(self, inputs: Tensors) -> Tensors:
        """Output of the last block → outputs of the model: one tensor or a list."""
        raise NotImplementedError(f"{type(self).__name__} has no apply_final_layers")

    def compute_attention_bias(self, inputs: Any = None) -> Tensor:
        """Bias of all attention scores, computed once; None: no bias."""
        return self.attention_bias

    def compute_position_bias(self, inputs: Tensors = None) -> Tensor:
        """Position bias of all attention scores, computed once; None: no bias."""
        return self.position_bias

    def apply_input(self, name: str) -> Tensor:
        """A (batch, length) input of ids. Ids are floats as in Keras 2, in a dtype that represents every id exactly."""
        return self.apply(layer=Input, shape=(self.sequence_length,), dtype=upcast_floatx(), name=name)

    def apply_token_embedding(self, x: Tensor) -> Tensor:
        """(batch, length) → (batch, length, embedding_size)"""
        return self.apply(
            x,
            layer=Embedding,
            input_dim=self.vocab_size,
            output_dim=self.embedding_size,
            embeddings_initializer=self.initializer,
            mask_zero=True,
            name="Embedding-Token",
        )

    def apply_activation(self, x: Tensor, activation: None | str | Callable, name: str) -> Tensor:
        """The last activation, over the vocabulary."""
        return self.apply(x, layer=Activation, activation=activation, name=name, **self.wide_output(x))

    def wide_output(self, x: Tensor) -> Tensor:
        """Argument of the layer that outputs probabilities of the vocabulary: float32 if x is in half precision.

        In half precision small probabilities are 0, and many are equal.
        """
        return {"dtype": "float32"} if dtype_name(x) in ("float16", "bfloat16") else {}

    def set_inputs(self, inputs: Tensors, additional_input_layers: Any = None) -> None:
        """Set `inputs`, a list, and `input`, the list or its only item."""
        self.inputs = as_list(inputs) + as_list(additional_input_layers)
        self.input = self.inputs if len(self.inputs) > 1 else self.inputs[0]

    def set_outputs(self, outputs: Tensors) -> None:
        """Set `outputs`, a list, and `output`, the list or its only item."""
        self.outputs = as_list(outputs)
        self.output = self.outputs if len(self.outputs) > 1 else self.outputs[0]

    @property
    def initializer(self) -> Any:
        """Normal distribution with standard deviation 0.02, truncated at two standard deviations."""
        return keras.initializers.TruncatedNormal(stddev=0.02)

    def simplify(self, inputs: Tensors) -> Tensors:
        """Remove the Nones from a list; return a single item alone."""
        inputs = [item for item in inputs if item is not None]
        return inputs[0] if len(inputs) == 1 else inputs

    # Weights

    def variable_mapping(self) -> dict[str, list[str]]:
        """{name of a layer: names of its weights in the checkpoint}, from `weight_table`."""
        return expand_table(self.weight_table, self.num_hidden_layers)

    def huggingface_rows(self) -> dict[str, str]:
        """{variable of the checkpoint: its name of Hugging Face with marks, see checkpoints/huggingface.py}."""
        return rows_of(self.weight_table, self.huggingface_table, self.num_hidden_layers)

    def load_variable(self, checkpoint: Any, name: str) -> np.ndarray:
        """A variable of the checkpoint (a path, a dict or an open checkpoint), in the layout of the layer's weight."""
        return open_checkpoint(checkpoint)[name]

    def create_variable(self, name: str, value: np.ndarray, dtype: str | None = None) -> np.ndarray:
        """A weight in the layout of the checkpoint; the inverse of `load_variable`."""
        return value

    def load_embeddings(self, embeddings: np.ndarray) -> np.ndarray:
        """Rows of the vocabulary after `keep_tokens` and `compound_tokens`."""
        return select_rows(embeddings, self.keep_tokens, self.compound_tokens)

    def load_weights_from_checkpoint(
        self, checkpoint: Any, mapping: Mapping[str, list[str]] | None = None
    ) -> LoadingReport:
        """Load a TensorFlow checkpoint, a `.npz`, a folder or a file of Hugging Face, or a dict of arrays.

        All variables are checked before the first weight is set.

        Args:
            checkpoint: prefix or path of the checkpoint, or a dict.
            mapping: {name of a layer: names of variables}; None: `variable_mapping()`.

        Raises:
            CheckpointError: a variable does not fit; the message names file, variable and remedy.
        """
        return load_weights(
            self.layers,
            self.mapped_layers(mapping),
            translate_names(open_checkpoint(checkpoint), self.huggingface_rows()),
            self.load_variable,
            ignore_invalid_weights=self.ignore_invalid_weights,
            resize=resize_like_wider_model if self.autoresize_weights else None,
        )

    def save_weights_as_checkpoint(
        self, filename: str, mapping: Mapping[str, list[str]] | None = None, dtype: str | None = None
    ) -> None:
        """Write a checkpoint that TensorFlow, bert4keras and `load_weights_from_checkpoint` can read.

        Args:
            filename: prefix of the checkpoint.
            mapping: {name of a layer: names of variables}; None: `variable_mapping()`.
            dtype: dtype of the variables, such as "float16"; None: the dtype of the weights.
        """
        mapped = self.mapped_layers(mapping)
        variables = iterate_weights(self.layers, mapped)
        write_once(
            lambda variables: save_checkpoint(filename, variables, dtype=dtype),
            ((name, self.create_variable(name, value, dtype)) for name, value in variables),
            self.layers,
            mapped,
        )

    def save_pretrained(
        self,
        folder: str,
        tokenizer: Any = None,
        max_shard_size: int | str = "5GB",
        dtype: str | None = None,
    ) -> None:
        """Write a folder that `from_pretrained` of transformers 5 reads: config.json, model.safetensors, vocab.txt.

        Args:
            folder: the folder, which is created. If writing fails, its old files are unchanged.
            tokenizer: whose files are written too: vocab.txt, spiece.model or tokenizer.json.
            max_shard_size: bytes of one file of weights at most; more are written as several files.
            dtype: dtype of the weights, such as "bfloat16"; None: their own.

        Raises:
            ValueError: transformers has no such model, or the tokenizer cannot be written.
            CheckpointError: a file cannot be written.
        """
        save_pretrained(self, os.fspath(folder), tokenizer, max_shard_size, dtype)

    def mapped_layers(self, mapping: Mapping[str, list[str]] | None = None) -> dict[str, list[str]]:
        """The rows of the mapping for layers of this model, with the model's prefix."""
        mapping = mapping or self.variable_mapping()
        prefixed = {self.prefixed(layer): names for layer, names in mapping.items()}
        mapped = {layer: names for layer, names in prefixed.items() if layer in self.layers}
        if not mapped:
            raise CheckpointError(
                f"mapping: expected names of this model's layers, such as {some_of(self.layers)}, "
                f"got {some_of(prefixed)}"
            )
        return mapped


def some_of(names):
    return ", ".join(map(repr, list(names)[:5])) or "none"


def as_list(items):
    if items is None:
        return []
    return list(items) if isinstance(items, (list, tuple)) else [items]


class LM_Mask(Mixin):
    """Mixin with a causal mask: each token attends to itself and to the tokens before it."""

    mask_kind: str | None = "causal"
    attention_bias: Tensor

    @property
    def mask_input(self) -> Tensor:
        """The input whose length the mask has, (batch, length)."""
        return self.inputs[0]

    def compute_attention_bias(self, inputs: Any = None) -> Tensor:
        """Causal mask (length, length), the same for all layers."""
        if self.attention_bias is None:
            self.attention_bias = self.apply(self.mask_input, layer=CausalMask, name="Attention-LM-Mask")
        return self.attention_bias


class UniLM_Mask(Mixin):
    """Mixin with UniLM's mask, https://arxiv.org/abs/1905.03197

    Segment 0 attends to all of segment 0; segment 1 attends to segment 0 and, causally, to itself.
    """

    mask_kind: str | None = "UniLM"
    attention_bias: Tensor

    @property
    def mask_input(self) -> Tensor:
        """The segment ids, (batch, length)."""
        return self.inputs[1]

    def compute_attention_bias(self, inputs: Any = None) -> Tensor:
        """UniLM's mask (batch, length, length), the same for all layers."""
        if self.attention_bias is None:
            self.attention_bias = self.apply(self.mask_input, layer=UniLMMask, name="Attention-UniLM-Mask")
        return self.attention_bias
