"""DistilBERT: https://arxiv.org/abs/1910.01108"""

from typing import Any

from bert4keras3.models.bert import BERT
from bert4keras3.weights import renamed

BLOCK = "distilbert:transformer.layer.%d."


class DistilBERT(BERT):
    """BERT without segments, pooler and next-sentence head."""

    model_type = "distilbert"
    huggingface_table = {
        "Embedding-Token": "distilbert:embeddings.word_embeddings.weight|vocab_projector.weight",
        "Embedding-Position": "distilbert:embeddings.position_embeddings.weight",
        "Embedding-Norm": "distilbert:embeddings.LayerNorm.{bias,weight}",
        "Transformer-%d-MultiHeadSelfAttention": BLOCK + "attention.{q,k,v,out}_lin.{weight.T,bias}",
        "Transformer-%d-MultiHeadSelfAttention-Norm": BLOCK + "sa_layer_norm.{bias,weight}",
        "Transformer-%d-FeedForward": BLOCK + "ffn.{lin1,lin2}.{weight.T,bias}",
        "Transformer-%d-FeedForward-Norm": BLOCK + "output_layer_norm.{bias,weight}",
        "MLM-Dense": "vocab_transform.{weight.T,bias}",
        "MLM-Norm": "vocab_layer_norm.{bias,weight}",
        "MLM-Bias": "vocab_projector.bias",
    }
    weight_table = renamed(BERT.weight_table, "bert/", "distilbert/")
    vocabulary_variables = ("distilbert/embeddings/word_embeddings", "cls/predictions/output_bias")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**dict(kwargs, segment_vocab_size=0))
