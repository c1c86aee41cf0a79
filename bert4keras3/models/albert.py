"""ALBERT: https://arxiv.org/abs/1909.11942"""

from typing import Any

from bert4keras3 import layouts
from bert4keras3.models.bert import BERT

GROUP = "bert/encoder/transformer/group_0/inner_group_0/"
BLOCK = {
    "MultiHeadSelfAttention": GROUP + "attention_1/{self/{query,key,value},output/dense}/{kernel,bias}",
    "MultiHeadSelfAttention-Norm": GROUP + "LayerNorm/{beta,gamma}",
    "FeedForward": GROUP + "ffn_1/intermediate/{dense,output/dense}/{kernel,bias}",
    "FeedForward-Norm": GROUP + "LayerNorm_1/{beta,gamma}",
}
HUGGING_FACE_GROUP = "albert:encoder.albert_layer_groups.0.albert_layers.0."
HUGGING_FACE = {
    "Embedding-Token": "albert:embeddings.word_embeddings.weight|predictions.decoder.weight",
    "Embedding-Segment": "albert:embeddings.token_type_embeddings.weight",
    "Embedding-Position": "albert:embeddings.position_embeddings.weight",
    "Embedding-Norm": "albert:embeddings.LayerNorm.{bias,weight}",
    "Embedding-Mapping": "albert:encoder.embedding_hidden_mapping_in.{weight.T,bias}",
    "Pooler-Dense": "albert:pooler.{weight.T,bias}",
    "NSP-Proba": "sop_classifier.classifier.{weight,bias}",
    "MLM-Dense": "predictions.dense.{weight.T,bias}",
    "MLM-Norm": "predictions.LayerNorm.{bias,weight}",
    "MLM-Bias": "predictions.bias|predictions.decoder.bias",
}
HUGGING_FACE_BLOCK = {
    "MultiHeadSelfAttention": HUGGING_FACE_GROUP + "attention.{query,key,value,dense}.{weight.T,bias}",
    "MultiHeadSelfAttention-Norm": HUGGING_FACE_GROUP + "attention.LayerNorm.{bias,weight}",
    "FeedForward": HUGGING_FACE_GROUP + "{ffn,ffn_output}.{weight.T,bias}",
    "FeedForward-Norm": HUGGING_FACE_GROUP + "full_layer_layer_norm.{bias,weight}",
}


class ALBERT(BERT):
    """BERT with one block that is applied repeatedly."""

    model_type = "albert"
    huggingface_table = dict(
        HUGGING_FACE, **{"Transformer-" + part: names for part, names in HUGGING_FACE_BLOCK.items()}
    )

    norm_arguments = {}
    layer_prefix = "Transformer-"
    weight_table = dict(BERT.weight_table, **{"Transformer-" + part: names for part, names in BLOCK.items()})
    layout_table = dict(
        BERT.layout_table,
        **{
            "Transformer-MultiHeadSelfAttention": layouts.ATTENTION,
            "Transformer-FeedForward": layouts.FEED_FORWARD,
        },
    )

    def __init__(self, *args: Any, num_hidden_groups: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if num_hidden_groups != 1:
            raise ValueError(
                f"num_hidden_groups: expected 1, got {num_hidden_groups!r}. This ALBERT has several groups of layers, "
                "and only checkpoints with one group shared by all layers are supported."
            )


class ALBERT_Unshared(BERT):
    """ALBERT whose blocks have their own weights, which start as copies of the shared block."""

    model_type = "albert"
    huggingface_table = dict(
        HUGGING_FACE, **{"Transformer-%d-" + part: names for part, names in HUGGING_FACE_BLOCK.items()}
    )

    weight_table = dict(
        BERT.weight_table, **{"Transformer-%d-" + part: names for part, names in BLOCK.items()}
    )
