"""Parity bites: each of these bugs turns the run red, and the layer named first is the one that has it."""

import pytest

from bert4keras3 import ops
from bert4keras3.backend import functions
from bert4keras3.layers import Embedding, LayerNormalization, MultiHeadAttention, PositionEmbedding
from bert4keras3.models import BERT
from parity import record
from parity.cases import CASES_BY_NAME
from parity.compare import Cell, judge
from parity.files import GOLDENS, read_arrays, read_json
from parity.sampling import sample_layers

pytestmark = pytest.mark.usefixtures("fresh_session")
CASE = CASES_BY_NAME["bert"]


def verdict():
    arrays, _ = record.record_case(record.open_library("bert4keras3"), CASE)
    golden = read_arrays(GOLDENS / "bert.npz")
    story = read_json(GOLDENS / "bert.json")
    return judge(Cell(CASE.name, CASE.system, "here"), golden, story, sample_layers(arrays))


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


def test_run_is_green_without_a_bug():
    assert verdict().red is None


@pytest.mark.parametrize(
    "bug, layer",
    [
        (tanh_gelu, "Transformer-0-FeedForward"),
        (large_epsilon, "Embedding-Norm"),
        (mask_ignored, "Transformer-0-MultiHeadSelfAttention"),
        (gamma_and_beta_swapped, "Embedding-Norm"),
        (key_and_value_swapped, "Transformer-0-MultiHeadSelfAttention"),
        (segment_off_by_one, "Embedding-Segment"),
        (position_off_by_one, "Embedding-Position"),
        (scale_missing, "Transformer-0-MultiHeadSelfAttention"),
    ],
)
def test_bug_turns_the_run_red_and_its_layer_is_named(monkeypatch, bug, layer):
    bug(monkeypatch)
    cell = verdict()
    assert cell.red is not None, "error ratio %.3g passes" % cell.error_ratio
    assert cell.first_wrong_layer == layer
