"""What generation has to know of a model: its decoder, whether it can be cached, its number of positions."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import keras, layer_of, require_keras_3
from bert4keras3.layers import CausalMask, PositionEmbedding, UniLMMask


class Decoder:
    """The part of a Transformer that generates tokens.

    Args:
        transformer: from `build_transformer_model(…, return_keras_model=False)`.

    Raises:
        ValueError: if the transformer is no decoder, or was built with an option that cannot be cached.
        NotImplementedError: on OpenVINO and NumPy.
    """

    def __init__(self, transformer: Any) -> None:
        require_keras_3(
            "Generation with cached keys and values",
            "Here AutoRegressiveDecoder works with the model itself; Keras 3 is installed by pip install "
            "bert4keras3[jax], [tensorflow] or [torch].",
            compiles=True,
        )
        if not hasattr(transformer, "apply_main_layers"):
            raise ValueError(
                "generation: expected a Transformer, as build_transformer_model(…, return_keras_model=False) gives it, "
                f"got {type(transformer).__name__}"
            )
        self.model = transformer.model
        self.encoder: Any = getattr(transformer, "encoder", None)
        self.transformer = transformer if self.encoder is None else transformer._decoder
        self.has_segments = getattr(self.transformer, "segment_vocab_size", 0) > 0
        self.shares_segments = self.has_segments and self.transformer.shared_segment_embeddings
        self.takes_context = self.transformer.inputs[0].name.endswith("Context")
        self.check(type(transformer).__name__)
        self.is_unilm = isinstance(self.mask_layer(), UniLMMask)
        self.gives_probabilities = self.last_activation() is keras.activations.softmax

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens of the vocabulary."""
        return self.transformer.vocab_size

    def check(self, name: str) -> None:
        """Raise ValueError if the decoder cannot be cached. name: of the model, for the message."""
        transformer = self.transformer
        if not isinstance(self.mask_layer(), (CausalMask, UniLMMask)):
            raise ValueError(
                f"{name}: its tokens attend in both directions, so it generates nothing. Build it with "
                "application='lm' or 'unilm', or choose a decoder: gpt, gpt2, gpt2_ml, t5."
            )
        if transformer.outputs[-1].shape[-1] != self.vocabulary_size or self.last_activation() not in (
            keras.activations.softmax,
            keras.activations.linear,
        ):
            raise ValueError(
                f"{name}: its last output is expected to be probabilities or logits of the {self.vocabulary_size} "
                f"tokens of the vocabulary, got {transformer.outputs[-1].shape}. Build it with with_lm=True or "
                "with_mlm=True, or 'linear' instead of True."
            )
        inputs = 1 + self.has_segments + self.takes_context
        for option, given in (
            ("residual_attention_scores", transformer.residual_attention_scores),
            ("attention_caches", transformer.attention_caches),
            ("layer_norm_cond", transformer.layer_norm_conds[0] is not None),
            ("custom_position_ids", getattr(transformer, "custom_position_ids", False)),
            ("additional_input_layers", len(transformer.inputs) != inputs),
        ):
            if given:
                raise ValueError(f"{name}: built with {option}, which generation cannot cache")
        for layer in transformer.layers.values():
            if hasattr(layer, "call_cached") and depth_of(layer, "call") < depth_of(layer, "call_cached"):
                raise ValueError(
                    f"{layer.name} ({type(layer).__name__}): generation cannot cache a layer with a call of its own. "
                    "Override call_cached too, or pay_attention_to alone in an attention layer"
                )

    def mask_layer(self) -> Any:
        """The layer of the causal mask; None if the model was built without one."""
        bias = self.transformer.attention_bias
        return None if bias is None else layer_of(bias)

    def last_activation(self) -> Any:
        """The activation of the last layer."""
        return getattr(layer_of(self.transformer.outputs[-1]), "activation", None)

    @property
    def max_positions(self) -> int | None:
        """Number of positions of the position table; None if the model has no table."""
        sizes = [
            layer.max_position
            for layer in self.transformer.layers.values()
            if isinstance(layer, PositionEmbedding)
        ]
        return min(sizes, default=None)


def depth_of(layer: Any, name: str) -> int:
    """Number of the base class that defines this method, 0 for the layer's own class."""
    return next(depth for depth, base in enumerate(type(layer).__mro__) if name in vars(base))
