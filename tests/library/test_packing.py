"""Packed rows: every text has the outputs that it has alone, and no text sees another."""

import numpy as np
import pytest
from small_models import MODELS, build

from bert4keras3 import ops
from bert4keras3.backend import framework
from bert4keras3.layers import Lambda, TextMask
from bert4keras3.models import BERT
from bert4keras3.packing import MAX_TEXTS, pack, packed_transformer, predict_packed
from parity.adapter import listed

pytestmark = pytest.mark.usefixtures("fresh_session")
PACKABLE = sorted(set(MODELS) - {"t5", "t5.1.1", "umt5", "t5-decoder"})
LENGTHS = [1, 7, 24, 7, 1, 24, 24, 1, 7, 24, 7]


def texts(seed=0, lengths=LENGTHS):
    random = np.random.RandomState(seed)
    tokens = [random.randint(3, 600, length) for length in lengths]
    tokens[1][0] = tokens[2][5] = 0  # the id of padding at the beginning and inside
    return tokens, [(np.arange(length) * 2 >= length).astype(int) for length in lengths]


def built(name):
    """A transformer whose weights are all random: norms and biases too."""
    transformer = build(name, return_keras_model=False)
    random = np.random.RandomState(1)
    for layer in transformer.layers.values():
        if layer.trainable_weights:
            layer.set_weights([one + 0.2 * random.normal(size=one.shape) for one in layer.get_weights()])
    return transformer


def alone(transformer, tokens, segments):
    """Outputs of each text in a batch of its own."""
    takes_segments = len(transformer.inputs) == 2
    results = []
    for ids, segment_ids in zip(tokens, segments):
        feed = [ids[None], segment_ids[None]] if takes_segments else ids[None]
        outputs = listed(transformer.model.predict_on_batch(feed))
        results.append([np.asarray(output)[0] for output in outputs])
    return results


def largest_difference(one, other):
    """Largest difference of two lists of outputs, relative to the largest number."""
    pairs = [(a, b) for first, second in zip(one, other) for a, b in zip(listed(first), listed(second))]
    assert [a.shape for a, _ in pairs] == [b.shape for _, b in pairs]
    return max(np.abs(a - b).max() for a, b in pairs) / max(np.abs(b).max() for _, b in pairs)


@pytest.mark.parametrize("name", PACKABLE)
def test_a_packed_text_has_the_outputs_that_it_has_alone(name):
    """And it never sees its neighbours: if they change, its outputs stay the same, bit by bit.

    parity/packing measures the error against the goldens.
    """
    transformer, (tokens, segments) = built(name), texts()
    packed = predict_packed(transformer, tokens, segments)
    assert largest_difference(packed, alone(transformer, tokens, segments)) < 2e-5
    changed = [ids if i == 3 else (ids + 300) % 590 + 3 for i, ids in enumerate(tokens)]
    after = predict_packed(transformer, changed, segments)
    for one, other in zip(listed(packed[3]), listed(after[3])):
        np.testing.assert_array_equal(one, other)


def test_a_mask_that_is_off_by_one_is_noticed(monkeypatch):
    def off_by_one(self, inputs, mask=None):
        return ops.less_equal(ops.expand_dims(inputs, 2) - ops.expand_dims(inputs, 1), 1)

    monkeypatch.setattr(TextMask, "call", off_by_one)
    transformer, (tokens, segments) = built("bert"), texts()
    packed = predict_packed(transformer, tokens, segments)
    assert largest_difference(packed, alone(transformer, tokens, segments)) > 1e-3  # 50 times what is allowed


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_full_and_have_each_text_once(seed):
    lengths = np.random.RandomState(seed).gamma(2, 45, 3000).astype(int).clip(1, 512).tolist()
    rows = pack(lengths, [256, 512])
    assert sorted(index for row in rows for index in row.texts) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row.texts) <= row.length for row in rows)
    assert {row.length for row in rows if max(lengths[index] for index in row.texts) <= 256} == {256}
    assert max(len(row.texts) for row in rows) <= MAX_TEXTS
    assert sum(lengths) / sum(row.length for row in rows) > 0.98
    assert pack(lengths, [256, 512]) == rows


def test_long_texts_have_longer_rows():
    transformer = build("t5-encoder", return_keras_model=False)
    tokens, segments = texts(lengths=[600, 3, 700])
    packed = predict_packed(transformer, tokens)
    assert [len(one) for one in packed] == [600, 3, 700]


@pytest.mark.parametrize("tokens", [[[5], []], [[5] * 25]], ids=str)
def test_a_text_that_cannot_be_packed_is_named(tokens):
    with pytest.raises(ValueError, match=f"text {len(tokens) - 1}: expected"):
        predict_packed(build("bert", return_keras_model=False), tokens)


def test_no_texts_have_no_outputs():
    assert predict_packed(build("bert", return_keras_model=False), []) == []


@pytest.mark.parametrize("name", ["t5", "t5-decoder"])
def test_a_model_of_two_sequences_is_refused(name):
    with pytest.raises(ValueError, match="of a T5 take the encoder"):
        predict_packed(build(name, return_keras_model=False), [[5]])


def test_a_keras_model_is_refused():
    with pytest.raises(ValueError, match="return_keras_model=False"):
        predict_packed(build("bert"), [[5]])


class Looking(BERT):
    """A model with a layer that looks at all tokens of a row."""

    def apply_final_layers(self, inputs):
        return self.apply(inputs, layer=Lambda, function=lambda x: x - x[:, :1], name="Looking")


def test_a_layer_of_a_user_that_may_look_at_other_tokens_is_refused():
    transformer = build("bert", model=Looking, with_nsp=False, with_mlm=False, return_keras_model=False)
    with pytest.raises(ValueError, match="Looking .Lambda.: cannot be packed"):
        predict_packed(transformer, [[5, 6]])


def test_the_transformer_stays_as_it_was():
    transformer = built("bert")
    layers, inputs = list(transformer.layers), list(transformer.inputs)
    packed_transformer(transformer)
    assert list(transformer.layers) == layers and list(transformer.inputs) == inputs
    assert transformer.position_ids is None and transformer.attention_bias is None


@pytest.mark.skipif(
    framework not in ("jax", "tensorflow"), reason="counts the compilations of XLA and TensorFlow"
)
def test_many_texts_have_two_shapes(monkeypatch):
    transformer = build("bert", return_keras_model=False)
    predict_packed(transformer, [[5]])
    model = transformer.model
    shapes = set()
    from bert4keras3 import packing

    packed = packing.models[transformer].transformer.model
    original = packed.predict_on_batch
    monkeypatch.setattr(packed, "predict_on_batch", lambda x: shapes.add(x[0].shape) or original(x))
    tokens, _ = texts(lengths=np.random.RandomState(0).randint(1, 25, 400))
    predict_packed(transformer, tokens, batch_tokens=1024)
    assert len(shapes) == 1 and model is transformer.model
