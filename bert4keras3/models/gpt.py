"""GPT, GPT-2 and their Chinese relatives: language models with tied embeddings."""

from __future__ import annotations

from typing import Any, Callable

from bert4keras3.backend import Tensors
from bert4keras3.layers import Embedding
from bert4keras3.models.bert import BERT
from bert4keras3.snippets import delete_arguments
from bert4keras3.transformers import LM_Mask
from bert4keras3.weights import renamed

LM_VARIABLES = renamed(renamed(BERT.weight_table, "bert/", "gpt/"), "encoder", "transformer")
GPT_BLOCK = "transformer:h.%d."
HUGGING_FACE_BLOCK = {
    "Transformer-%d-MultiHeadSelfAttention": GPT_BLOCK
    + "attn.{c_attn[{0,1,2}].{weight,bias},c_proj.{weight,bias}}",
    "Transformer-%d-MultiHeadSelfAttention-Norm": GPT_BLOCK + "ln_1.{bias,weight}",
    "Transformer-%d-FeedForward": GPT_BLOCK + "mlp.{c_fc,c_proj}.{weight,bias}",
    "Transformer-%d-FeedForward-Norm": GPT_BLOCK + "ln_2.{bias,weight}",
}


class GPT(LM_Mask, BERT):
    """BERT with a causal mask and without a norm after the embeddings.

    https://github.com/openai/finetune-transformer-lm

    Args:
        final_activation: activation of the vocabulary's logits, (batch, length, vocab_size).
        kwargs: arguments of `BERT`.
    """

    model_type: str | None = "openai-gpt"
    huggingface_table = dict(
        {
            "Embedding-Token": "transformer:tokens_embed.weight|lm_head.weight",
            "Embedding-Position": "transformer:positions_embed.weight",
        },
        **HUGGING_FACE_BLOCK,
    )
    weight_table = LM_VARIABLES
    with_lm = True  # False: the output is the last hidden states
    vocabulary_variables = ("gpt/embeddings/word_embeddings",)

    @delete_arguments("with_pool", "with_mlm")
    def __init__(self, final_activation: None | str | Callable = "softmax", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.final_activation = final_activation

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        x, position_ids = self.apply_token_and_segment(inputs)
        x = self.apply_position(x, position_ids)
        x = self.apply_dropout(x, "Embedding-Dropout")
        return self.apply_embedding_mapping(x)

    def apply_final_layers(self, inputs: Tensors) -> Tensors:
        if not self.with_lm:
            return inputs
        x = self.apply(inputs, layer=Embedding, arguments={"mode": "dense"}, name="Embedding-Token")
        return self.apply_activation(x, self.final_activation, "LM-Activation")


class GPT2(GPT):
    """LN → Att → Add → LN → FFN → Add, and a norm at the end. Input: token ids.

    https://github.com/openai/gpt-2 , in the format of CPM-LM
    """

    model_type = "gpt2"
    huggingface_table = dict(
        {
            "Embedding-Token": "transformer:wte.weight|lm_head.weight",
            "Embedding-Position": "transformer:wpe.weight",
            "Output-Norm": "transformer:ln_f.{bias,weight}",
        },
        **HUGGING_FACE_BLOCK,
    )
    norm_place = "before"
    norm_arguments = {"epsilon": 1e-5}
    weight_table = dict(
        renamed(LM_VARIABLES, "output/LayerNorm", "input/LayerNorm"),
        **{"Output-Norm": "gpt/output/LayerNorm/{beta,gamma}"},
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**dict(kwargs, segment_vocab_size=0, custom_position_ids=False))

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        x, position_ids = self.apply_token_and_segment(inputs)
        return self.apply_embedding_mapping(self.apply_position(x, position_ids))

    def apply_final_layers(self, inputs: Tensors) -> Tensors:
        x = self.apply_norm(inputs, "Output-Norm", **self.norm_arguments)
        x = self.apply_dropout(x, "Output-Dropout")
        return super().apply_final_layers(x)


class GPT2_ML(GPT):
    """Att → Add → LN → FFN → Add → LN; the second sum adds the input of the first norm. Input: token ids.

    https://github.com/imcaspar/gpt2-ml
    """

    model_type = None
    huggingface_table = {}
    norm_arguments = {"epsilon": 1e-5}
    weight_table = {
        "Embedding-Token": "newslm/embeddings/word_embed",
        "Embedding-Position": "newslm/embeddings/pos_embed",
        "Embedding-Norm": "newslm/embeddings/LayerNorm_embed_norm/{beta,gamma}",
        "Transformer-%d-MultiHeadSelfAttention": "newslm/layer%02d/"
        "{query_layer,key_layer,value_layer,context_projection_layer}/{kernel,bias}",
        "Transformer-%d-FeedForward-Norm-0": "newslm/layer%02d/LayerNorm_mlp_ln0/{beta,gamma}",
        "Transformer-%d-FeedForward": "newslm/layer%02d/{intermediate,output}/{kernel,bias}",
        "Transformer-%d-FeedForward-Norm-1": "newslm/layer%02d/LayerNorm_mlp_ln1/{beta,gamma}",
    }
    vocabulary_variables = ("newslm/embeddings/word_embed",)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**dict(kwargs, segment_vocab_size=0, custom_position_ids=False))

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        x, position_ids = self.apply_token_and_segment(inputs)
        x = self.apply_norm(self.apply_position(x, position_ids), "Embedding-Norm", **self.norm_arguments)
        return self.apply_embedding_mapping(x)

    def apply_main_layers(self, inputs: Tensors, index: int) -> Tensors:
        name = self.block_name(index, "MultiHeadSelfAttention")
        y = self.apply_multi_head_attention([inputs] * 3, name, self.compute_attention_bias(index))
        x = self.apply_add(inputs, y, name)
        name = self.block_name(index, "FeedForward")
        y = self.apply_norm(x, name + "-Norm-0", **self.norm_arguments)
        x = self.apply_add(x, self.apply_feed_forward(y, name), name)
        return self.apply_norm(x, name + "-Norm-1", **self.norm_arguments)
