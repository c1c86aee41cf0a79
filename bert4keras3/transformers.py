"""Transformer: the engine that turns a configuration into a Keras model and loads its weights.

A model class says which layers follow each other; `apply` makes a layer the first time that its name is met
and uses it again afterwards. Names are stable: they carry weights, caches, shared layers and parity reports.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

import numpy as np

from bert4keras3.backend import Model, Tensor, Tensors, dtype_name, get_activation, keras, upcast_floatx
from bert4keras3.blocks import Mixin, ResidualBlocks
from bert4keras3.checkpoints import CheckpointError, open_checkpoint, save_checkpoint
from bert4keras3.generation.prompt_model import OPTION_NAMES, build_prompt_model
from bert4keras3.layers import (
    Activation,
    Add,
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
)


class Transformer(ResidualBlocks):
    """Base of all models: inputs → embeddings → main layers → final layers.

    vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act: as in a
    checkpoint's configuration; a list as `hidden_act` makes the feed-forward layers gated.
    dropout_rate, attention_dropout_rate: 0 where None.
    embedding_size: of the token embeddings, `hidden_size` where None.
    attention_head_size: of values, hidden_size // num_attention_heads where None; attention_key_size: of
    queries and keys, attention_head_size where None.
    sequence_length: fixes the length of the inputs.
    keep_tokens: rows of the checkpoint's vocabulary to keep, in this order; compound_tokens: for each token to
    append, the ids (of kept rows) whose embeddings are averaged, or (ids, weights).
    residual_attention_scores: adds each layer's scores to the next: https://arxiv.org/abs/2012.11747
    ignore_invalid_weights: a variable that the checkpoint lacks is logged and skipped.
    autoresize_weights: a variable of another size is repeated or cut to fit.
    temperature, penalty, penalty_window, mask_output: for `build_cache_model`.
    layers: {name: layer} to share; prefix: put before every layer's name; name: of the Keras model.
    """

    weight_table: dict[str, str] = {}
    applications: tuple[str, ...] = ("encoder", "lm", "unilm")

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
        """Make the Keras model, `self.model`.

        attention_caches: {attention layer's name: [keys, values]}, (batch, length, size) tensors to which the
        layer's own keys and values are appended.
        layer_norm_cond: (batch, size) tensor that steers every layer normalization, projected to
        `layer_norm_cond_hidden_size` with `layer_norm_cond_hidden_act` first, where given.
        additional_input_layers: more inputs of the model, such as those behind the two above.
        """
        if self.built:
            return
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
        """A model whose `predict` takes padded prompts and gives padded texts, for scripts of the package's 1.x.

        input_lengths: of the inputs; that of the text that is written bounds it. end_token: id, or a list of them.
        search_mode: "greedy", "topk" (k: how many) or "topp" (k: the probability, or [probability, how many]).
        progress_print: count the tokens on the screen. index_bias: so many tokens count as prompt even if they are 0.
        options: temperature, penalty, penalty_window and mask_output, in place of those that the model was built
        with, and those of `Generator.generate`, such as seed. New code takes bert4keras3.generation.Generator.
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
        """A layer's name with the model's prefix."""
        return None if name is None else self.prefix + name

    def apply(
        self, inputs: Any = None, layer: Any = None, arguments: dict | None = None, **kwargs: Any
    ) -> Tensors:
        """Call the layer of this name, made from class `layer` and `kwargs` the first time.

        arguments: for the layer's call. Without `inputs` the layer itself is returned.
        """
        if layer is Dropout and self.dropout_rate == 0:
            return inputs
        name = self.prefixed(kwargs.get("name"))
        kwargs["name"] = name
        if layer is Input:  # never shared: two models of the same layers have inputs of their own
            return layer(**kwargs)
        arguments = dict(arguments or {})
        if layer is Lambda:
            kwargs["arguments"], arguments = arguments, {}
        if layer is MultiHeadAttention and self.residual_attention_scores:
            kwargs["return_attention_scores"] = True
        if isinstance(kwargs.get("activation"), str):
            kwargs["activation"] = get_activation(kwargs["activation"], f"activation of layer {name}")
        if name not in self.layers:
            made = layer(**kwargs)
            name = made.name
            self.layers[name] = made
        layer = self.layers[name]
        if inputs is None:
            return layer
        return self.call_layer(layer, inputs, arguments)

    def call_layer(self, layer: Any, inputs: Tensors, arguments: dict[str, Any]) -> Tensors:
        """What `apply` does with a layer; while texts are generated, generation/incremental.py does it."""
        if isinstance(layer, MultiHeadAttention):
            return self.apply_attention(inputs, layer, arguments)
        return layer(inputs, **arguments)

    def apply_attention(self, inputs: Tensors, layer: Any, arguments: dict[str, Any]) -> Tensor:
        """Call an attention layer with its caches and, in a RealFormer, the scores of the layer before."""
        inputs = list(inputs)
        if layer.name in self.attention_caches:
            for place, cache, part in zip((1, 2), self.attention_caches[layer.name], ("Key", "Value")):
                join = Concatenate1D(name=f"{layer.name}-Cached-{part}")
                inputs[place] = join([cache, inputs[place]])
        if not self.residual_attention_scores:
            return layer(inputs, **arguments)
        if self.attention_scores is not None:
            if arguments.get("a_bias"):
                join = Add(name=layer.name + "-Attention-Bias")
                inputs[3] = join([inputs[3], self.attention_scores])
            else:
                inputs.insert(3, self.attention_scores)
                arguments["a_bias"] = True
        outputs, self.attention_scores = layer(inputs, **arguments)
        return outputs

    def get_inputs(self) -> Tensors:
        """The model's own inputs, one or a list."""
        raise NotImplementedError(f"{type(self).__name__} has no get_inputs")

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        """Inputs → what the first block takes."""
        raise NotImplementedError(f"{type(self).__name__} has no apply_embeddings")

    def apply_final_layers(self, inputs: Tensors) -> Tensors:
        """What the last block gives → outputs, one or a list."""
        raise NotImplementedError(f"{type(self).__name__} has no apply_final_layers")

    def compute_attention_bias(self, inputs: Any = None) -> Tensor:
        """Bias of all attention scores, made once; None for none."""
        return self.attention_bias

    def compute_position_bias(self, inputs: Tensors = None) -> Tensor:
        """Position bias of all attention scores, made once; None for none."""
        return self.position_bias

    def apply_input(self, name: str) -> Tensor:
        """A (batch, length) input of ids. Ids are floats as in Keras 2, wide enough for every vocabulary."""
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
        """The last activation over a vocabulary."""
        return self.apply(x, layer=Activation, activation=activation, name=name, **self.wide_output(x))

    def wide_output(self, x: Tensor) -> Tensor:
        """Argument of the layer that gives out probabilities of a vocabulary: float32 where x is of half precision,
        in which small ones are 0 and many are equal.
        """
        return {"dtype": "float32"} if dtype_name(x) in ("float16", "bfloat16") else {}

    def set_inputs(self, inputs: Tensors, additional_input_layers: Any = None) -> None:
        """Set `inputs`, a list, and `input`, the same or its only item."""
        self.inputs = as_list(inputs) + as_list(additional_input_layers)
        self.input = self.inputs if len(self.inputs) > 1 else self.inputs[0]

    def set_outputs(self, outputs: Tensors) -> None:
        """Set `outputs`, a list, and `output`, the same or its only item."""
        self.outputs = as_list(outputs)
        self.output = self.outputs if len(self.outputs) > 1 else self.outputs[0]

    @property
    def initializer(self) -> Any:
        """Normal, standard deviation 0.02, cut off at two of them."""
        return keras.initializers.TruncatedNormal(stddev=0.02)

    def simplify(self, inputs: Tensors) -> Tensors:
        """Drop the Nones of a list; an only item stands alone."""
        inputs = [item for item in inputs if item is not None]
        return inputs[0] if len(inputs) == 1 else inputs

    # Weights

    def variable_mapping(self) -> dict[str, list[str]]:
        """{layer name: names of its weights in the checkpoint}, from `weight_table`."""
        return expand_table(self.weight_table, self.num_hidden_layers)

    def load_variable(self, checkpoint: Any, name: str) -> np.ndarray:
        """A variable in the layout of the layer's weight. checkpoint: a path, a dict or an open checkpoint."""
        return open_checkpoint(checkpoint)[name]

    def create_variable(self, name: str, value: np.ndarray, dtype: str | None = None) -> np.ndarray:
        """A weight in the layout of the checkpoint, the inverse of `load_variable`."""
        return value

    def load_embeddings(self, embeddings: np.ndarray) -> np.ndarray:
        """Rows of a vocabulary after `keep_tokens` and `compound_tokens`."""
        return select_rows(embeddings, self.keep_tokens, self.compound_tokens)

    def load_weights_from_checkpoint(
        self, checkpoint: Any, mapping: Mapping[str, list[str]] | None = None
    ) -> LoadingReport:
        """Load a TensorFlow checkpoint (its prefix), a `.npz`, a `.safetensors` or a dict of arrays.

        mapping: {layer name: variable names}, `variable_mapping()` where None. All of it is checked before the
        first weight is set. Raises CheckpointError, whose text names file, variable and remedy.
        """
        return load_weights(
            self.layers,
            self.mapped_layers(mapping),
            open_checkpoint(checkpoint),
            self.load_variable,
            ignore_invalid_weights=self.ignore_invalid_weights,
            resize=resize_like_wider_model if self.autoresize_weights else None,
        )

    def save_weights_as_checkpoint(
        self, filename: str, mapping: Mapping[str, list[str]] | None = None, dtype: str | None = None
    ) -> None:
        """Write a checkpoint that TensorFlow, bert4keras and `load_weights_from_checkpoint` read.

        filename: its prefix. dtype: of the variables in the file, such as "float16"; as in the model where None.
        """
        variables = iterate_weights(self.layers, self.mapped_layers(mapping))
        save_checkpoint(
            filename,
            ((name, self.create_variable(name, value, dtype)) for name, value in variables),
            dtype=dtype,
        )

    def mapped_layers(self, mapping: Mapping[str, list[str]] | None = None) -> dict[str, list[str]]:
        """The rows of the mapping whose layers this model has, with their prefix."""
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
    """Mixin: each token sees itself and what stands before it."""

    attention_bias: Tensor

    def compute_attention_bias(self, inputs: Any = None) -> Tensor:
        """(length, length): which token may see which, the same for all layers."""
        if self.attention_bias is None:
            self.attention_bias = self.apply(self.inputs[0], layer=CausalMask, name="Attention-LM-Mask")
        return self.attention_bias


class UniLM_Mask(Mixin):
    """Mixin: segment 0 sees itself, segment 1 what stands before it too. https://arxiv.org/abs/1905.03197"""

    attention_bias: Tensor

    def compute_attention_bias(self, inputs: Any = None) -> Tensor:
        """(batch, length, length): which token may see which, the same for all layers."""
        if self.attention_bias is None:
            self.attention_bias = self.apply(self.inputs[1], layer=UniLMMask, name="Attention-UniLM-Mask")
        return self.attention_bias
