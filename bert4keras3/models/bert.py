"""BERT: https://arxiv.org/abs/1810.04805"""

from __future__ import annotations

from typing import Any, Callable

from bert4keras3 import layouts
from bert4keras3.backend import Tensor, Tensors, get_activation
from bert4keras3.layers import (
    Add,
    Dense,
    Embedding,
    FirstToken,
    PositionEmbedding,
    ScaleOffset,
)
from bert4keras3.transformers import Transformer, as_list


class BERT(Transformer):
    """(token + segment + position) → LN → Dropout → blocks → heads. Inputs: token ids, segment ids.

    Outputs: [pooled vector or next-sentence probabilities, probabilities of the vocabulary], as far as they are asked
    for; otherwise the hidden states. Names of variables are those of https://github.com/google-research/bert

    Args:
        max_position: number of position embeddings.
        segment_vocab_size: number of segments; 0: no segment input.
        with_pool: True or an activation: output the pooled [CLS] vector, (batch, hidden_size).
        with_nsp: output the two next-sentence probabilities in place of the pooled vector.
        with_mlm: True or an activation: output the vocabulary, (batch, length, vocab_size).
        hierarchical_position: True or alpha, see PositionEmbedding.
        custom_position_ids: whether position ids are one more input.
        shared_segment_embeddings: whether segments use the table of the tokens.
        embedding_mapping: whether embeddings of `hidden_size` are projected too, as in ALBERT of Hugging Face.
        kwargs: arguments of `Transformer`.
    """

    weight_table = {
        "Embedding-Token": "bert/embeddings/word_embeddings",
        "Embedding-Segment": "bert/embeddings/token_type_embeddings",
        "Embedding-Position": "bert/embeddings/position_embeddings",
        "Embedding-Norm": "bert/embeddings/LayerNorm/{beta,gamma}",
        "Embedding-Mapping": "bert/encoder/embedding_hidden_mapping_in/{kernel,bias}",
        "Transformer-%d-MultiHeadSelfAttention": "bert/encoder/layer_%d/attention/"
        "{self/{query,key,value},output/dense}/{kernel,bias}",
        "Transformer-%d-MultiHeadSelfAttention-Norm": "bert/encoder/layer_%d/attention/output/LayerNorm/{beta,gamma}",
        "Transformer-%d-FeedForward": "bert/encoder/layer_%d/{intermediate,output}/dense/{kernel,bias}",
        "Transformer-%d-FeedForward-Norm": "bert/encoder/layer_%d/output/LayerNorm/{beta,gamma}",
        "Pooler-Dense": "bert/pooler/dense/{kernel,bias}",
        "NSP-Proba": "cls/seq_relationship/output_{weights,bias}",
        "MLM-Dense": "cls/predictions/transform/dense/{kernel,bias}",
        "MLM-Norm": "cls/predictions/transform/LayerNorm/{beta,gamma}",
        "MLM-Bias": "cls/predictions/output_bias",
    }
    layout_table = dict(Transformer.layout_table, **{"MLM-Bias": layouts.VOCABULARY_BIAS})
    model_type: str | None = "bert"
    huggingface_table = {
        "Embedding-Token": "bert:embeddings.word_embeddings.weight|cls.predictions.decoder.weight",
        "Embedding-Segment": "bert:embeddings.token_type_embeddings.weight",
        "Embedding-Position": "bert:embeddings.position_embeddings.weight",
        "Embedding-Norm": "bert:embeddings.LayerNorm.{bias,weight}",
        "Transformer-%d-MultiHeadSelfAttention": "bert:encoder.layer.%d.attention."
        "{self.{query,key,value},output.dense}.{weight.T,bias}",
        "Transformer-%d-MultiHeadSelfAttention-Norm": "bert:encoder.layer.%d.attention.output.LayerNorm.{bias,weight}",
        "Transformer-%d-FeedForward": "bert:encoder.layer.%d.{intermediate,output}.dense.{weight.T,bias}",
        "Transformer-%d-FeedForward-Norm": "bert:encoder.layer.%d.output.LayerNorm.{bias,weight}",
        "Pooler-Dense": "bert:pooler.dense.{weight.T,bias}",
        "NSP-Proba": "cls.seq_relationship.{weight,bias}",
        "MLM-Dense": "cls.predictions.transform.dense.{weight.T,bias}",
        "MLM-Norm": "cls.predictions.transform.LayerNorm.{bias,weight}",
        "MLM-Bias": "cls.predictions.bias|cls.predictions.decoder.bias",
    }
    vocabulary_variables: tuple[str, ...] = ("bert/embeddings/word_embeddings", "cls/predictions/output_bias")

    def __init__(
        self,
        max_position: int,
        segment_vocab_size: int = 2,
        with_pool: Any = False,
        with_nsp: bool = False,
        with_mlm: Any = False,
        hierarchical_position: None | bool | float = None,
        custom_position_ids: bool = False,
        shared_segment_embeddings: bool = False,
        embedding_mapping: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_position = max_position
        self.segment_vocab_size = segment_vocab_size
        self.with_pool = with_pool or with_nsp
        self.with_nsp = with_nsp
        self.with_mlm = with_mlm
        self.hierarchical_position = hierarchical_position
        self.custom_position_ids = custom_position_ids
        self.shared_segment_embeddings = shared_segment_embeddings
        self.embedding_mapping = embedding_mapping

    def get_inputs(self) -> Tensors:
        inputs = [self.apply_input("Input-Token")]
        if self.segment_vocab_size > 0:
            inputs.append(self.apply_input("Input-Segment"))
        if self.custom_position_ids:
            inputs.append(self.apply_input("Input-Position"))
        return inputs

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        x, position_ids = self.apply_token_and_segment(inputs)
        x = self.apply_position(x, position_ids)
        x = self.apply_norm(x, "Embedding-Norm", epsilon=self.layer_norm_eps or 1e-12)
        x = self.apply_dropout(x, "Embedding-Dropout")
        return self.apply_embedding_mapping(x)

    def apply_token_and_segment(self, inputs: Tensors) -> Tensor:
        """(sum of token and segment embeddings, (batch, length, embedding_size); position ids or None)."""
        inputs = as_list(inputs)
        x = self.apply_token_embedding(inputs.pop(0))
        if self.segment_vocab_size > 0:
            s = self.apply_segment_embedding(inputs.pop(0))
            x = self.apply([x, s], layer=Add, name="Embedding-Token-Segment")
        return x, inputs.pop(0) if self.custom_position_ids else self.position_ids

    def apply_segment_embedding(self, s: Tensor) -> Tensor:
        """(batch, length) → (batch, length, embedding_size)"""
        if self.shared_segment_embeddings:
            return self.apply_token_embedding(s)
        return self.apply(
            s,
            layer=Embedding,
            input_dim=self.segment_vocab_size,
            output_dim=self.embedding_size,
            embeddings_initializer=self.initializer,
            name="Embedding-Segment",
        )

    def apply_position(self, x: Tensor, position_ids: Tensor = None) -> Tensor:
        """Add embeddings of the positions 0, 1, …, or of `position_ids` (batch, length)."""
        return self.apply(
            self.simplify([x, position_ids]),
            layer=PositionEmbedding,
            input_dim=self.max_position,
            output_dim=self.embedding_size,
            merge_mode="add",
            hierarchical=self.hierarchical_position,
            embeddings_initializer=self.initializer,
            custom_position_ids=self.custom_position_ids,
            name="Embedding-Position",
        )

    def apply_embedding_mapping(self, x: Tensor) -> Tensor:
        """Project embeddings of another size to (batch, length, hidden_size)."""
        if self.embedding_size == self.hidden_size and not self.embedding_mapping:
            return x
        return self.apply_dense(x, self.hidden_size, "Embedding-Mapping")

    def apply_dense(
        self,
        x: Tensor,
        units: int,
        name: str,
        activation: None | str | Callable = None,
        **arguments: Any,
    ) -> Tensor:
        """A Dense: (…, size) → (…, units)."""
        return self.apply(
            x,
            layer=Dense,
            units=units,
            activation=get_activation(activation, f"activation of layer {name}"),
            kernel_initializer=self.initializer,
            name=name,
            **arguments,
        )

    def apply_final_layers(self, inputs: Tensors) -> Tensors:
        outputs = []
        if self.with_pool:
            outputs.append(self.apply_pooler(inputs))
        if self.with_mlm:
            outputs.append(self.apply_mlm(inputs))
        return self.simplify(outputs) if outputs else inputs

    def apply_pooler(self, x: Tensor) -> Tensor:
        """(batch, length, hidden_size) → (batch, hidden_size), or next-sentence probabilities (batch, 2)."""
        x = self.apply_first_token(x)
        activation: Any = "tanh" if self.with_pool is True else self.with_pool
        x = self.apply_dense(x, self.hidden_size, "Pooler-Dense", activation)
        if self.with_nsp:
            x = self.apply_dense(x, 2, "NSP-Proba", "softmax")
        return x

    def apply_first_token(self, x: Tensor) -> Tensor:
        """(batch, length, hidden_size) → (batch, hidden_size)"""
        return self.apply(x, layer=FirstToken, name="Pooler")

    def apply_mlm(self, x: Tensor) -> Tensor:
        """(batch, length, hidden_size) → (batch, length, vocab_size), with the activation `with_mlm`."""
        x = self.apply_dense(x, self.embedding_size, "MLM-Dense", self.hidden_act)
        x = self.apply_norm(x, "MLM-Norm", epsilon=self.layer_norm_eps or 1e-12)
        x = self.apply(x, layer=Embedding, arguments={"mode": "dense"}, name="Embedding-Token")
        x = self.apply(x, layer=ScaleOffset, scale=False, name="MLM-Bias")
        activation = "softmax" if self.with_mlm is True else self.with_mlm
        return self.apply_activation(x, activation, "MLM-Activation")

    def load_variable(self, checkpoint: Any, name: str) -> Any:
        variable = super().load_variable(checkpoint, name)
        if name in self.vocabulary_variables:
            return self.load_embeddings(variable)
        if name == "cls/seq_relationship/output_weights":  # stored (2, hidden_size)
            return variable.T
        return variable

    def create_variable(self, name: str, value: Tensor, dtype: str | None = None) -> Any:
        if name == "cls/seq_relationship/output_weights":
            value = value.T
        return super().create_variable(name, value, dtype)
