"""Mutation tests of parity: each of these bugs turns the run red, and the first layer that is named has the bug."""

import numpy as np
import pytest

from bert4keras3 import ops
from bert4keras3.backend import K, functions, keras
from bert4keras3.checkpoints import CheckpointError
from bert4keras3.layers import (
    Embedding,
    LayerNormalization,
    MultiHeadAttention,
    PositionEmbedding,
    RelativePositionEmbeddingT5,
    ScaleOffset,
    attention,
    gated_attention,
)
from bert4keras3.models import ALBERT, BERT, ELECTRA, GPT2_ML
from parity.adapter import open_library
from parity.compare import BOUND, Cell
from parity.models import isolated_layers, record
from parity.models.build import case_weights
from parity.models.cases import CASES_BY_NAME
from parity.models.compare import judge
from parity.models.training import record_training
from parity.store import GOLDENS, read_arrays, read_json
from parity.subsample import sample_arrays

stop_gradient = keras.ops.stop_gradient if hasattr(keras, "ops") else K.stop_gradient
pytestmark = pytest.mark.usefixtures("fresh_session")


def recorded(name):
    return record.record_case(open_library("bert4keras3"), CASES_BY_NAME[name])[0]


def verdict(name, activations=None, trained=False):
    """activations: a record with the right layers, whose inputs the isolated layers get. trained: with gradients."""
    case, arrays = CASES_BY_NAME[name], recorded(name)
    golden = read_arrays(GOLDENS / (name + ".npz"))
    if trained:
        arrays.update(record_training(open_library("bert4keras3"), case, case_weights(case)))
    else:
        golden = {key: value for key, value in golden.items() if not key.startswith("training/")}
    metadata = read_json(GOLDENS / (name + ".json"))
    cell = Cell(name, case.system, "here")
    layers = (
        sample_arrays(isolated_layers.run_isolated_layers(open_library("bert4keras3"), case, activations))
        if activations
        else None
    )
    return judge(cell, golden, metadata, sample_arrays(arrays), layers)


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


def test_gradients_are_right_without_a_bug():
    assert verdict("bert", trained=True).red is None


def test_a_wrong_gradient_turns_the_run_red(monkeypatch):
    halved_gradient(monkeypatch)
    cell = verdict("bert", trained=True)
    assert cell.error_ratio <= BOUND
    assert "gradient of Transformer-" in cell.red and "MultiHeadSelfAttention" in cell.red


@pytest.mark.parametrize("case", ["bert", "t5", "roformer", "gau-alpha", "albert", "gpt2-ml", "electra"])
def test_run_is_green_without_a_bug(case):
    assert verdict(case).red is None


@pytest.mark.parametrize(
    "case, bug, layer",
    [
        ("bert", tanh_gelu, "Transformer-0-FeedForward"),
        ("bert", large_epsilon, "Embedding-Norm"),
        ("bert", mask_ignored, "Transformer-0-MultiHeadSelfAttention"),
        ("bert", gamma_and_beta_swapped, "Embedding-Norm"),
        ("bert", key_and_value_swapped, "Transformer-0-MultiHeadSelfAttention"),
        ("bert", segment_off_by_one, "Embedding-Segment"),
        ("bert", position_off_by_one, "Embedding-Position"),
        ("bert", scale_missing, "Transformer-0-MultiHeadSelfAttention"),
        ("t5", bucket_off_by_one, "Encoder-Embedding-Relative-Position"),
        ("t5", cross_bias_missing, "Decoder-Transformer-0-MultiHeadCrossAttention"),
        ("t5", logits_unscaled, "Decoder-Output-Scale"),
        ("roformer", rotary_by_halves, "Transformer-0-MultiHeadSelfAttention"),
        ("gau-alpha", softmax_plus_without_clamp, "Transformer-0-GatedAttentionUnit"),
        ("albert", epsilon_of_another_model(ALBERT), "Transformer-MultiHeadSelfAttention-Norm"),
        ("gpt2-ml", residual_of_the_normalized_sum, "Transformer-0-FeedForward-Add"),
    ],
)
def test_bug_turns_the_run_red_and_its_layer_is_named(monkeypatch, case, bug, layer):
    bug(monkeypatch)
    cell = verdict(case)
    assert cell.red is not None, f"error ratio {cell.error_ratio:.3g} passes"
    assert cell.first_wrong_layer.split("#")[0] == layer  # behind the #, which call of a shared layer it is


@pytest.mark.parametrize(
    "case, bug, layer",
    [
        ("bert", mask_ignored, "Transformer-0-MultiHeadSelfAttention"),
        ("t5", cross_bias_missing, "Decoder-Transformer-0-MultiHeadCrossAttention"),
        ("albert", epsilon_of_another_model(ALBERT), "Transformer-MultiHeadSelfAttention-Norm"),
    ],
)
def test_a_wrong_layer_is_wrong_on_the_right_input_and_the_others_are_not(monkeypatch, case, bug, layer):
    activations = recorded(case)
    bug(monkeypatch)
    cell = verdict(case, activations)
    assert cell.root_cause_layer.split("#")[0] == layer
    assert "wrong on the reference's input too" in cell.red


def test_the_generator_does_not_pass_for_the_discriminator(monkeypatch):
    generator_for_discriminator(monkeypatch)
    with pytest.raises(CheckpointError, match="generator/encoder"):
        verdict("electra")
