"""RoBERTa of Facebook, https://arxiv.org/abs/1907.11692 ; Chinese models of this name are BERT."""

from __future__ import annotations

from typing import Any

import numpy as np

from bert4keras3.backend import Tensor, Tensors
from bert4keras3.layers import PaddedEmbedding, PaddedPositionEmbedding, ScaleOffset
from bert4keras3.models.bert import BERT
from bert4keras3.weights import renamed


class RoBERTa(BERT):
    """BERT whose padding token, `pad_token_id`, counts for no position. Input: token ids.

    The first position is `pad_token_id` + 1, so a table of `max_position` rows has texts of `max_position` −
    `pad_token_id` − 1 tokens. All tokens get the only row of the table of segments.

    Args:
        pad_token_id: id of the padding token, which is masked.
        kwargs: arguments of `BERT`.
    """

    applications = ("encoder",)
    model_type = "roberta"
    huggingface_table = dict(
        renamed(BERT.huggingface_table, "bert:", "roberta:"),
        **{
            "Embedding-Token": "roberta:embeddings.word_embeddings.weight|lm_head.decoder.weight",
            "MLM-Dense": "lm_head.dense.{weight.T,bias}",
            "MLM-Norm": "lm_head.layer_norm.{bias,weight}",
            "MLM-Bias": "lm_head.bias|lm_head.decoder.bias",
        },
    )
    del huggingface_table["NSP-Proba"]
    weight_table = renamed(BERT.weight_table, "bert/", "roberta/")
    vocabulary_variables = ("roberta/embeddings/word_embeddings", "cls/predictions/output_bias")

    def __init__(self, pad_token_id: int = 1, **kwargs: Any) -> None:
        super().__init__(**dict(kwargs, custom_position_ids=False))
        self.pad_token_id = pad_token_id

    def get_inputs(self) -> Tensors:
        return self.apply_input("Input-Token")

    def apply_token_embedding(self, x: Tensor) -> Tensor:
        return self.apply(
            x,
            layer=PaddedEmbedding,
            input_dim=self.vocab_size,
            output_dim=self.embedding_size,
            embeddings_initializer=self.initializer,
            padding_id=self.pad_token_id,
            name="Embedding-Token",
        )

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        x = self.apply_token_embedding(inputs)
        x = self.apply(x, layer=ScaleOffset, scale=False, name="Embedding-Segment")
        x = self.apply(
            self.simplify([x, inputs, self.position_ids]),
            layer=PaddedPositionEmbedding,
            input_dim=self.max_position,
            output_dim=self.embedding_size,
            padding_id=self.pad_token_id,
            embeddings_initializer=self.initializer,
            name="Embedding-Position",
        )
        x = self.apply_norm(x, "Embedding-Norm", epsilon=self.layer_norm_eps or 1e-12)
        return self.apply_dropout(x, "Embedding-Dropout")

    def load_variable(self, checkpoint: Any, name: str) -> Any:
        variable = super().load_variable(checkpoint, name)
        if name == self.weight_table["Embedding-Segment"] and variable.ndim == 2:  # stored (1, hidden_size)
            return variable[0]
        return variable

    def create_variable(self, name: str, value: Any, dtype: str | None = None) -> Any:
        if name == self.weight_table["Embedding-Segment"]:
            value = np.asarray(value)[None]
        return super().create_variable(name, value, dtype)
