"""Bugs for the tests of parity and of its replays. They need the library alone.

A bug is a function of a patch, which has pytest's `setattr(object, name, value)`.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np

from bert4keras3 import ops
from bert4keras3.backend import K, functions, keras
from bert4keras3.layers import (
    CausalMask,
    Embedding,
    FirstToken,
    LayerNormalization,
    MultiHeadAttention,
    PositionEmbedding,
    RelativePositionEmbedding,
    RelativePositionEmbeddingT5,
    ScaleOffset,
    attention,
    feed_forward,
    gated_attention,
)
from bert4keras3.models import ALBERT, BERT, ELECTRA, GPT2_ML

stop_gradient = keras.ops.stop_gradient if hasattr(keras, "ops") else K.stop_gradient


class Bug(NamedTuple):
    """A bug, the case that shows it, the wrong layer, and what the fingerprint says of it; None for no fingerprint."""

    name: str
    case: str
    seed: Callable[[Any], None]
    layer: str
    fingerprint: str | None = None


def tanh_gelu(patch):
    patch.setattr(functions, "gelu_erf", functions.gelu_tanh)


def large_epsilon(patch):
    original = LayerNormalization.call

    def call(self, inputs, mask=None):
        self.epsilon = 1e-3
        return original(self, inputs, mask)

    patch.setattr(LayerNormalization, "call", call)


def mask_ignored(patch):
    original = MultiHeadAttention.call

    def call(self, inputs, mask=None, a_bias=None, **kwargs):
        return original(self, inputs, None, a_bias, **kwargs)

    patch.setattr(MultiHeadAttention, "call", call)


def table_row(patch, layer, names):
    patch.setattr(BERT, "weight_table", dict(BERT.weight_table, **{layer: names}))


def gamma_and_beta_swapped(patch):
    table_row(patch, "Embedding-Norm", "bert/embeddings/LayerNorm/{gamma,beta}")


def key_and_value_swapped(patch):
    names = "bert/encoder/layer_%d/attention/{self/{query,value,key},output/dense}/{kernel,bias}"
    table_row(patch, "Transformer-%d-MultiHeadSelfAttention", names)


def segment_off_by_one(patch):
    original = Embedding.call

    def call(self, inputs, mode="embedding"):
        return original(self, 1 - inputs if self.name == "Embedding-Segment" else inputs, mode)

    patch.setattr(Embedding, "call", call)


def position_off_by_one(patch):
    def call(self, inputs, mask=None):
        return inputs + ops.expand_dims(self.embeddings[1 : ops.shape(inputs)[1] + 1], 0)

    patch.setattr(PositionEmbedding, "call", call)


def scale_missing(patch):
    original = MultiHeadAttention.pay_attention_to

    def pay_attention_to(self, inputs, mask=None, **kwargs):
        self.attention_scale = False
        return original(self, inputs, mask, **kwargs)

    patch.setattr(MultiHeadAttention, "pay_attention_to", pay_attention_to)


def bucket_off_by_one(patch):
    original = RelativePositionEmbeddingT5.buckets

    def buckets(self, distances, count):
        return original(self, distances + 1, count)

    patch.setattr(RelativePositionEmbeddingT5, "buckets", buckets)


def cross_bias_missing(patch):
    original = MultiHeadAttention.pay_attention_to

    def pay_attention_to(self, inputs, mask=None, **kwargs):
        if "CrossAttention" in self.name:
            kwargs["p_bias"] = None
        return original(self, inputs, mask, **kwargs)

    patch.setattr(MultiHeadAttention, "pay_attention_to", pay_attention_to)


def logits_unscaled(patch):
    original = ScaleOffset.scale_and_offset

    def scale_and_offset(self, x, condition=None):
        return x if self.name == "Decoder-Output-Scale" else original(self, x, condition)

    patch.setattr(ScaleOffset, "scale_and_offset", scale_and_offset)


def rotary_by_halves(patch):
    def rotate(sinusoidal, *tensors):
        half = tensors[0].shape[-1] // 2
        sinusoidal = functions.align(sinusoidal, [0, 1, -1], len(tensors[0].shape))
        sin = ops.concatenate([sinusoidal[..., ::2]] * 2, axis=-1)
        cos = ops.concatenate([sinusoidal[..., 1::2]] * 2, axis=-1)
        return [x * cos + ops.concatenate([-x[..., half:], x[..., :half]], axis=-1) * sin for x in tensors]

    patch.setattr(attention, "apply_rotary_position_embeddings", rotate)


def softmax_plus_without_clamp(patch):
    def normalize(a, mask, axis, method, bias):
        keys = ops.sum(ops.cast(functions.align(mask, [0, -1], 3), a.dtype), axis=-1, keepdims=True)
        scale = ops.log(keys + 1e-6) / np.log(512)
        return functions.attention_normalize(a * scale, mask, axis, "softmax", bias)

    patch.setattr(gated_attention, "attention_normalize", normalize)


def epsilon_of_another_model(model):
    def bug(patch):
        patch.setattr(model, "norm_arguments", dict(model.norm_arguments, epsilon=1e-5))

    return bug


def residual_of_the_normalized_sum(patch):
    def apply_main_layers(self, inputs, index):
        name = self.block_name(index, "MultiHeadSelfAttention")
        y = self.apply_multi_head_attention([inputs] * 3, name, self.compute_attention_bias(index))
        x = self.apply_add(inputs, y, name)
        name = self.block_name(index, "FeedForward")
        x = self.apply_norm(x, name + "-Norm-0", **self.norm_arguments)
        x = self.apply_add(x, self.apply_feed_forward(x, name), name)
        return self.apply_norm(x, name + "-Norm-1", **self.norm_arguments)

    patch.setattr(GPT2_ML, "apply_main_layers", apply_main_layers)


def generator_for_discriminator(patch):
    table = {
        layer: names.replace("electra/encoder", "generator/encoder")
        for layer, names in ELECTRA.weight_table.items()
    }
    patch.setattr(ELECTRA, "weight_table", table)


def halved_gradient(patch):
    """Right numbers, but half of the gradient through the attention scores."""

    def normalize(a, *arguments):
        return functions.attention_normalize(a / 2 + stop_gradient(a) / 2, *arguments)

    patch.setattr(attention, "attention_normalize", normalize)


def mask_off_by_one(patch):
    original = MultiHeadAttention.call

    def call(self, inputs, mask=None, a_bias=None, **kwargs):
        if mask is not None:
            mask = [
                None if one is None else ops.concatenate([one[:, -1:], one[:, :-1]], axis=1) for one in mask
            ]
        return original(self, inputs, mask, a_bias, **kwargs)

    patch.setattr(MultiHeadAttention, "call", call)


def causal_mask_ignored(patch):
    original = MultiHeadAttention.pay_attention_to

    def pay_attention_to(self, inputs, mask=None, **kwargs):
        return original(self, [*inputs[:3], *inputs[4:]], mask, **dict(kwargs, a_bias=None))

    patch.setattr(MultiHeadAttention, "pay_attention_to", pay_attention_to)


def token_itself_masked(patch):
    def call(self, inputs, mask=None):
        places = ops.arange(0, ops.shape(inputs)[1], dtype="int32")
        return ops.less(ops.expand_dims(places, 0), ops.expand_dims(places, 1))

    patch.setattr(CausalMask, "call", call)


def query_and_key_swapped(patch):
    names = "bert/encoder/layer_%d/attention/{self/{key,query,value},output/dense}/{kernel,bias}"
    table_row(patch, "Transformer-%d-MultiHeadSelfAttention", names)


def transposed_kernel(patch):
    original = BERT.load_variable

    def load_variable(self, checkpoint, name):
        value = original(self, checkpoint, name)
        return value.T if name.endswith("attention/output/dense/kernel") else value

    patch.setattr(BERT, "load_variable", load_variable)


def rounding_dense(patch, rounded, round_results):
    """FeedForward multiplies rounded numbers."""

    def dense(layer, x):
        y = ops.matmul(rounded(x), rounded(ops.convert_to_tensor(layer.kernel))) + layer.bias
        y = layer.activation(y)
        return rounded(y) if round_results else y

    patch.setattr(feed_forward, "dense", dense)


def half_precision(patch):
    rounding_dense(patch, lambda x: ops.cast(ops.cast(x, "float16"), "float32"), True)


def tf32(patch):
    def rounded(x):
        large = x * (2.0**13 + 1)  # Veltkamp's splitting leaves 11 bits
        return large - (large - x)

    rounding_dense(patch, rounded, False)


def rotary_in_the_other_direction(patch):
    original = functions.apply_rotary_position_embeddings

    def rotate(sinusoidal, *tensors):
        signs = np.tile([-1.0, 1.0], sinusoidal.shape[-1] // 2).astype("float32")
        return original(sinusoidal * signs, *tensors)

    patch.setattr(attention, "apply_rotary_position_embeddings", rotate)


def bias_missing(patch):
    original = feed_forward.dense

    def dense(layer, x):
        return original(layer, x) - layer.bias if layer.name == "o_dense" else original(layer, x)

    patch.setattr(feed_forward, "dense", dense)


def heads_split_with_the_sizes_first(patch):
    def split_heads(self, x, size):
        x = ops.reshape(x, (-1, ops.shape(x)[1], size, self.heads))
        return ops.transpose(x, (0, 1, 3, 2))

    patch.setattr(MultiHeadAttention, "split_heads", split_heads)


def relative_positions_reversed(patch):
    original = RelativePositionEmbedding.rows
    patch.setattr(RelativePositionEmbedding, "rows", lambda self, distances: original(self, -distances))


def variance_of_a_sample(patch):
    def call(self, inputs, mask=None):
        x = inputs - ops.mean(inputs, axis=-1, keepdims=True)
        variance = ops.sum(ops.square(x), axis=-1, keepdims=True) / (x.shape[-1] - 1)
        return self.scale_and_offset(x * ops.rsqrt(variance + self.epsilon))

    patch.setattr(LayerNormalization, "call", call)


def last_token_pooled(patch):
    patch.setattr(FirstToken, "call", lambda self, inputs, mask=None: inputs[:, -1])


ATTENTION, CROSS = "Transformer-0-MultiHeadSelfAttention", "Decoder-Transformer-0-MultiHeadCrossAttention"
FEED_FORWARD, SHARED_NORM = "Transformer-0-FeedForward", "Transformer-MultiHeadSelfAttention-Norm"
GATED, BUCKETS = "Transformer-0-GatedAttentionUnit", "Encoder-Embedding-Relative-Position"
RELATIVE = "Embedding-Relative-Position"
NORMED = f"an input from {FEED_FORWARD}-Norm-0 in place of {ATTENTION}-Add"

# Each turns the outputs of its case red.
BUGS = (
    Bug("tanh-gelu", "bert", tanh_gelu, FEED_FORWARD, "tanh GELU"),
    Bug("large-epsilon", "bert", large_epsilon, "Embedding-Norm", "epsilon 1e-03"),
    Bug("mask-ignored", "bert", mask_ignored, ATTENTION, "mask ignored"),
    Bug("mask-off-by-one", "bert", mask_off_by_one, ATTENTION, "mask off by one"),
    Bug("gamma-and-beta", "bert", gamma_and_beta_swapped, "Embedding-Norm", "gamma and beta swapped"),
    Bug("key-and-value", "bert", key_and_value_swapped, ATTENTION, "key and value swapped"),
    Bug("query-and-key", "bert", query_and_key_swapped, ATTENTION, "query and key swapped"),
    Bug("transposed-kernel", "bert", transposed_kernel, ATTENTION, "transposed kernel 3"),
    Bug("segments", "bert", segment_off_by_one, "Embedding-Segment", "segments off by one"),
    Bug("positions", "bert", position_off_by_one, "Embedding-Position", "positions off by one"),
    Bug("scale-missing", "bert", scale_missing, ATTENTION, "scale of the scores missing"),
    Bug("bias-missing", "bert", bias_missing, FEED_FORWARD, "bias 1 missing"),
    Bug(
        "heads-split", "bert", heads_split_with_the_sizes_first, ATTENTION, "heads split with the sizes first"
    ),
    Bug("half-precision", "bert", half_precision, FEED_FORWARD, "half precision (float16)"),
    Bug("tf32", "bert", tf32, FEED_FORWARD, "TF32"),
    Bug("variance", "bert", variance_of_a_sample, "Embedding-Norm", "the variance is divided by n − 1"),
    Bug("last-token", "bert-pool", last_token_pooled, "Pooler", "the last token in place of the first"),
    Bug("causal-mask", "bert-lm", causal_mask_ignored, ATTENTION, "attention bias or causal mask ignored"),
    Bug("token-itself", "bert-lm", token_itself_masked, "Attention-LM-Mask", "the token itself is masked"),
    Bug("buckets", "t5", bucket_off_by_one, BUCKETS, "buckets off by one"),
    Bug("cross-bias", "t5", cross_bias_missing, CROSS, "position bias ignored"),
    Bug("logits-unscaled", "t5", logits_unscaled, "Decoder-Output-Scale", "scale missing"),
    Bug(
        "rotary-by-halves",
        "roformer",
        rotary_by_halves,
        ATTENTION,
        "rotary positions by halves, not by pairs",
    ),
    Bug(
        "rotary-direction",
        "roformer",
        rotary_in_the_other_direction,
        ATTENTION,
        "rotary positions in the other direction",
    ),
    Bug(
        "softmax-plus",
        "gau-alpha",
        softmax_plus_without_clamp,
        GATED,
        "softmax_plus without its least number of keys",
    ),
    Bug("other-epsilon", "albert", epsilon_of_another_model(ALBERT), SHARED_NORM, "epsilon 1e-05"),
    Bug("residual", "gpt2-ml", residual_of_the_normalized_sum, f"{FEED_FORWARD}-Add", NORMED),
    Bug(
        "direction",
        "nezha",
        relative_positions_reversed,
        RELATIVE,
        "relative positions in the other direction",
    ),
)
BUGS_BY_NAME = {bug.name: bug for bug in BUGS}
# The first turns gradients alone red; the second leaves no record.
GRADIENT_BUG = Bug("halved-gradient", "bert", halved_gradient, "MultiHeadSelfAttention")
LOADING_BUG = Bug("generator", "electra", generator_for_discriminator, "")
