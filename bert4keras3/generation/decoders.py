"""What generation has to know of a model: which of its parts writes, whether it can be cached, how far it reads."""

from bert4keras3.backend import keras, require_keras_3
from bert4keras3.layers import CausalMask, MultiHeadAttention, PositionEmbedding, UniLMMask


class Decoder:
    """The part of a Transformer that writes text.

    transformer: as `build_transformer_model(…, return_keras_model=False)` gives it. Raises ValueError where it is
    no decoder, or was built with what cannot be cached, NotImplementedError on OpenVINO and NumPy.
    """

    def __init__(self, transformer):
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
        self.transformer = transformer
        self.model = transformer.model
        self.encoder = getattr(transformer, "encoder", None)
        self.writer = transformer if self.encoder is None else transformer._decoder
        self.has_segments = getattr(self.writer, "segment_vocab_size", 0) > 0
        self.shares_segments = self.has_segments and self.writer.shared_segment_embeddings
        self.reads_context = self.writer.inputs[0].name.endswith("Context")
        self.check()
        self.is_unilm = isinstance(self.mask_layer(), UniLMMask)
        self.gives_probabilities = self.last_activation() is keras.activations.softmax

    @property
    def vocabulary_size(self):
        return self.writer.vocab_size

    def check(self):
        writer, name = self.writer, type(self.transformer).__name__
        if not isinstance(self.mask_layer(), (CausalMask, UniLMMask)):
            raise ValueError(
                f"{name}: it reads in both directions and so writes no text. Build it with application='lm' or "
                "'unilm', or choose a decoder: gpt, gpt2, gpt2_ml, t5."
            )
        if writer.outputs[-1].shape[-1] != writer.vocab_size or self.last_activation() not in (
            keras.activations.softmax,
            keras.activations.linear,
        ):
            raise ValueError(
                "%s: its last output is expected to be probabilities or logits of the %d tokens of the vocabulary, got "
                "%s. Build it with with_lm=True or with_mlm=True, or 'linear' instead of True."
                % (name, writer.vocab_size, writer.outputs[-1].shape)
            )
        for option, given in (
            ("residual_attention_scores", writer.residual_attention_scores),
            ("attention_caches", writer.attention_caches),
            ("layer_norm_cond", writer.layer_norm_conds[0] is not None),
            ("custom_position_ids", getattr(writer, "custom_position_ids", False)),
            ("additional_input_layers", len(writer.inputs) != 1 + self.has_segments + self.reads_context),
        ):
            if given:
                raise ValueError(f"{name}: built with {option}, which generation cannot cache")
        for layer in writer.layers.values():
            if isinstance(layer, MultiHeadAttention) and type(layer).call is not MultiHeadAttention.call:
                raise ValueError(
                    f"{layer.name} ({type(layer).__name__}): generation cannot cache an attention layer with a call "
                    "of its own; override pay_attention_to"
                )

    def mask_layer(self):
        """The layer of the causal mask, None where the model was built without one."""
        bias = self.writer.attention_bias
        return getattr(getattr(bias, "_keras_history", None), "operation", None)

    def last_activation(self):
        return getattr(self.writer.outputs[-1]._keras_history.operation, "activation", None)

    @property
    def max_positions(self):
        """How many tokens its position table serves, None where it has none."""
        sizes = [
            layer.max_position
            for layer in self.writer.layers.values()
            if isinstance(layer, PositionEmbedding)
        ]
        return min(sizes, default=None)
