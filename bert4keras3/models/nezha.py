"""NEZHA: https://arxiv.org/abs/1909.00204"""

from __future__ import annotations

from bert4keras3.backend import Tensor, Tensors
from bert4keras3.layers import RelativePositionEmbedding
from bert4keras3.models.bert import BERT
from bert4keras3.weights import renamed


class NEZHA(BERT):
    """BERT with fixed relative positions in keys and values, clipped at a distance of 64 tokens."""

    model_type: str | None = "nezha"
    huggingface_table = renamed(BERT.huggingface_table, "bert:", "nezha:")
    norm_arguments = {}
    position_bias_kind = "typical_relative"

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        x, _ = self.apply_token_and_segment(inputs)
        x = self.apply_norm(x, "Embedding-Norm", **self.norm_arguments)
        x = self.apply_dropout(x, "Embedding-Dropout")
        return self.apply_embedding_mapping(x)

    def compute_position_bias(self, inputs: Tensors = None) -> Tensor:
        if self.position_bias is None:
            self.position_bias = self.apply(
                [inputs, inputs],
                layer=RelativePositionEmbedding,
                input_dim=2 * 64 + 1,
                output_dim=self.attention_key_size,
                embeddings_initializer="Sinusoidal",
                trainable=False,
                name="Embedding-Relative-Position",
            )
        return self.position_bias
