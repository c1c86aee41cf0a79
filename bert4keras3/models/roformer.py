"""RoFormer, https://arxiv.org/abs/2104.09864 , and RoFormerV2, https://kexue.fm/archives/8998"""

from __future__ import annotations

from typing import Any, Callable

from bert4keras3.backend import K, Tensor, Tensors, keras, serializable
from bert4keras3.layers import Embedding, SinusoidalPositionEmbedding
from bert4keras3.models.bert import BERT
from bert4keras3.models.nezha import NEZHA
from bert4keras3.weights import expand_braces, renamed


class RoFormer(NEZHA):
    """BERT with rotary positions."""

    model_type: str | None = "roformer"
    huggingface_table = dict(
        renamed(BERT.huggingface_table, "bert:", "roformer:"),
        **{"Embedding-Mapping": "roformer:embeddings_project.{weight.T,bias}"},
    )
    position_bias_kind = "rotary"

    def compute_position_bias(self, inputs: Tensors = None) -> Tensor:
        if self.position_bias is None:
            self.position_bias = self.apply(
                self.simplify([inputs, self.inputs[2] if self.custom_position_ids else self.position_ids]),
                layer=SinusoidalPositionEmbedding,
                output_dim=self.attention_key_size,
                merge_mode="zero",
                custom_position_ids=self.custom_position_ids,
                name="Embedding-Rotary-Position",
            )
        return self.position_bias


@serializable
class ScaledNormal(keras.initializers.Initializer):
    """Truncated normal distribution whose standard deviation decreases with the width and the number of layers."""

    def __init__(self, num_hidden_layers, order=2, gain=1.0):
        self.num_hidden_layers = num_hidden_layers
        self.order = order
        self.gain = gain

    def __call__(self, shape, dtype=None, **kwargs):
        is_vocabulary = shape[0] > 10000 or shape[0] < 10
        hidden_size = shape[1] if is_vocabulary else shape[0]
        # 1.13684723 compensates for the truncated tails
        stddev = 1.13684723 * self.gain * self.num_hidden_layers ** (-1.0 / self.order) / hidden_size**0.5
        return keras.initializers.TruncatedNormal(stddev=stddev)(shape, dtype=dtype or K.floatx())

    def get_config(self):
        return {"num_hidden_layers": self.num_hidden_layers, "order": self.order, "gain": self.gain}


def kernels_only(table):
    """A weight table without biases, betas and gammas."""
    expanded = {
        layer: [name for name in expand_braces(names) if is_kernel(name)] for layer, names in table.items()
    }
    return {layer: "{{{}}}".format(",".join(names)) for layer, names in expanded.items() if names}


def is_kernel(name):
    return not any(part in name for part in ("beta", "gamma", "bias"))


class RoFormerV2(RoFormer):
    """RoFormer without biases and with RMS norms without weights; its only head is the vocabulary."""

    model_type = None
    huggingface_table = {}
    norm_arguments = {"zero_mean": False, "scale": False, "offset": False}
    attention_arguments = {"use_bias": False}
    feed_forward_arguments = {"use_bias": False}
    weight_table = kernels_only(RoFormer.weight_table)

    @property
    def initializer(self) -> Any:
        """Truncated normal distribution, scaled by the depth of the model."""
        return ScaledNormal(self.num_hidden_layers)

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        x, _ = self.apply_token_and_segment(inputs)
        x = self.apply_dropout(x, "Embedding-Dropout")
        x = self.apply_norm(x, "Embedding-Norm", **self.norm_arguments)
        return self.apply_embedding_mapping(x)

    def apply_dense(
        self,
        x: Tensor,
        units: int,
        name: str,
        activation: None | str | Callable = None,
        **arguments: Any,
    ) -> Tensor:
        """A Dense without bias."""
        return super().apply_dense(x, units, name, activation, use_bias=False, **arguments)

    def apply_final_layers(self, inputs: Tensors) -> Tensors:
        x = inputs
        if self.with_mlm:
            if self.embedding_size != self.hidden_size:
                x = self.apply_dense(x, self.embedding_size, "Output-Mapping")
            x = self.apply_dropout(x, "Output-MLM-Dropout")
            x = self.apply(x, layer=Embedding, arguments={"mode": "dense"}, name="Embedding-Token")
            activation = "softmax" if self.with_mlm is True else self.with_mlm
            x = self.apply_activation(x, activation, "Output-MLM-Activation")
        return x
