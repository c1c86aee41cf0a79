"""ALBERT: https://arxiv.org/abs/1909.11942"""

from typing import Any

from bert4keras3.models.bert import BERT

GROUP = "bert/encoder/transformer/group_0/inner_group_0/"
BLOCK = {
    "MultiHeadSelfAttention": GROUP + "attention_1/{self/{query,key,value},output/dense}/{kernel,bias}",
    "MultiHeadSelfAttention-Norm": GROUP + "LayerNorm/{beta,gamma}",
    "FeedForward": GROUP + "ffn_1/intermediate/{dense,output/dense}/{kernel,bias}",
    "FeedForward-Norm": GROUP + "LayerNorm_1/{beta,gamma}",
}


class ALBERT(BERT):
    """BERT with one block that is applied repeatedly."""

    norm_arguments = {}
    layer_prefix = "Transformer-"
    weight_table = dict(BERT.weight_table, **{"Transformer-" + part: names for part, names in BLOCK.items()})

    def __init__(self, *args: Any, num_hidden_groups: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if num_hidden_groups != 1:
            raise ValueError(
                f"num_hidden_groups: expected 1, got {num_hidden_groups!r}. This ALBERT has several groups of layers, "
                "and only checkpoints with one group shared by all layers are supported."
            )


class ALBERT_Unshared(BERT):
    """ALBERT whose blocks have their own weights, which start as copies of the shared block."""

    weight_table = dict(
        BERT.weight_table, **{"Transformer-%d-" + part: names for part, names in BLOCK.items()}
    )
