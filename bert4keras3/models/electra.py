"""ELECTRA: https://arxiv.org/abs/2003.10555"""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import Tensors
from bert4keras3.models.bert import BERT
from bert4keras3.snippets import delete_arguments
from bert4keras3.weights import renamed

HUGGING_FACE = dict(
    renamed(BERT.huggingface_table, "bert:", "electra:"),
    **{
        "Embedding-Token": "electra:embeddings.word_embeddings.weight|generator_lm_head.weight",
        "Embedding-Mapping": "electra:embeddings_project.{weight.T,bias}",
        "Discriminator-Dense": "discriminator_predictions.dense.{weight.T,bias}",
        "Discriminator-Prediction": "discriminator_predictions.dense_prediction.{weight.T,bias}",
        "MLM-Dense": "generator_predictions.dense.{weight.T,bias}",
        "MLM-Norm": "generator_predictions.LayerNorm.{bias,weight}",
        "MLM-Bias": "generator_lm_head.bias",
    },
)


class ELECTRA(BERT):
    """The discriminator: BERT without pooler and language-model head; its only application is "encoder".

    Args:
        max_position: number of position embeddings.
        with_discriminator: True or an activation: output whether each token was replaced, (batch, length, 1).
        kwargs: arguments of `BERT`.
    """

    applications = ("encoder",)
    model_type = "electra"
    huggingface_table = HUGGING_FACE
    weight_table = dict(
        renamed(BERT.weight_table, "bert/", "electra/"),
        **{
            "Embedding-Mapping": "electra/embeddings_project/{kernel,bias}",
            "Discriminator-Dense": "discriminator_predictions/dense/{kernel,bias}",
            "Discriminator-Prediction": "discriminator_predictions/dense_1/{kernel,bias}",
        },
    )
    vocabulary_variables = ("electra/embeddings/word_embeddings",)

    @delete_arguments("with_pool", "with_mlm")
    def __init__(self, max_position: int, with_discriminator: bool | str = False, **kwargs: Any) -> None:
        super().__init__(max_position, **kwargs)
        self.with_discriminator = with_discriminator

    def apply_final_layers(self, inputs: Tensors) -> Tensors:
        x = inputs
        if self.with_discriminator:
            activation = "sigmoid" if self.with_discriminator is True else self.with_discriminator
            x = self.apply_dense(x, self.hidden_size, "Discriminator-Dense", self.hidden_act)
            x = self.apply_dense(x, 1, "Discriminator-Prediction", activation)
        return x


class ELECTRA_Generator(BERT):
    """The generator: BERT without pooler, whose head keeps the size of the embeddings."""

    model_type = "electra"
    huggingface_table = HUGGING_FACE
    weight_table = dict(
        renamed(renamed(BERT.weight_table, "bert/embeddings", "electra/embeddings"), "bert/", "generator/"),
        **{
            "Embedding-Mapping": "generator/embeddings_project/{kernel,bias}",
            "MLM-Dense": "generator_predictions/dense/{kernel,bias}",
            "MLM-Norm": "generator_predictions/LayerNorm/{beta,gamma}",
            "MLM-Bias": "generator_predictions/output_bias",
        },
    )
    vocabulary_variables = ("electra/embeddings/word_embeddings", "generator_predictions/output_bias")
