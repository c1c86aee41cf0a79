"""Layers: shapes, masks, configurations, order of weights, training."""

import numpy as np
import pytest

from bert4keras3 import layers, ops
from bert4keras3.backend import K, Layer, keras

pytestmark = pytest.mark.usefixtures("fresh_session")
Input, Model = keras.layers.Input, keras.models.Model
RANDOM = np.random.RandomState(0)
X = RANDOM.normal(size=(2, 5, 8)).astype("float32")
CONDITION = RANDOM.normal(size=(2, 6)).astype("float32")
IDS = np.array([[3, 0, 2, 1, 0], [0, 0, 0, 0, 0]], dtype="int32")


class MaskOf(Layer):
    """The mask that a layer passes on, as numbers."""

    def call(self, inputs, mask=None):
        return ops.cast(mask, "float32") if mask is not None else ops.zeros_like(inputs[..., 0]) - 1

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)[:-1]


# (layer, arguments, inputs, expected output shape)
ROWS = [
    ("Embedding", dict(input_dim=7, output_dim=4), [IDS], (2, 5, 4)),
    ("ScaleOffset", dict(), [X], (2, 5, 8)),
    ("ScaleOffset", dict(scale=False), [X], (2, 5, 8)),
    ("ScaleOffset", dict(conditional=True, hidden_units=3), [X, CONDITION], (2, 5, 8)),
    ("LayerNormalization", dict(), [X], (2, 5, 8)),
    ("LayerNormalization", dict(zero_mean=False, scale=False, offset=False), [X], (2, 5, 8)),
    ("LayerNormalization", dict(conditional=True), [X, CONDITION], (2, 5, 8)),
    ("PositionEmbedding", dict(input_dim=9, output_dim=8), [X], (2, 5, 8)),
    ("PositionEmbedding", dict(input_dim=9, output_dim=8, merge_mode="mul"), [X], (2, 5, 8)),
    ("PositionEmbedding", dict(input_dim=9, output_dim=3, merge_mode="concat"), [X], (2, 5, 11)),
    ("PositionEmbedding", dict(input_dim=3, output_dim=8, hierarchical=True), [X], (2, 5, 8)),
    ("PositionEmbedding", dict(input_dim=9, output_dim=8, custom_position_ids=True), [X, IDS], (2, 5, 8)),
    ("MultiHeadAttention", dict(heads=2, head_size=3), [X, X, X], (2, 5, 6)),
    (
        "MultiHeadAttention",
        dict(heads=2, head_size=3, key_size=5, out_dim=8, use_bias=False),
        [X, X, X],
        (2, 5, 8),
    ),
    ("GatedAttentionUnit", dict(units=16, key_size=4), [X], (2, 5, 8)),
    ("GatedAttentionUnit", dict(units=16, key_size=4, self_attention=False), [X, X, X], (2, 5, 8)),
    ("FeedForward", dict(units=16, activation="gelu"), [X], (2, 5, 8)),
    ("FeedForward", dict(units=16, activation=["gelu", "linear"], use_bias=False), [X], (2, 5, 8)),
    ("Concatenate1D", dict(), [X, X], (2, 10, 8)),
    ("Add", dict(), [X, X], (2, 5, 8)),
    ("SinusoidalPositionEmbedding", dict(output_dim=8), [X], (2, 5, 8)),
    ("SinusoidalPositionEmbedding", dict(output_dim=6, merge_mode="concat"), [X], (2, 5, 14)),
    ("SinusoidalPositionEmbedding", dict(output_dim=8, custom_position_ids=True), [X, IDS], (2, 5, 8)),
    ("RelativePositionEmbedding", dict(input_dim=5, output_dim=4), [X, X], (5, 5, 4)),
    ("RelativePositionEmbeddingT5", dict(input_dim=32, output_dim=4), [X, X], (5, 5, 4)),
    ("RelativePositionEmbeddingT5", dict(input_dim=32, output_dim=4, bidirectional=False), [X, X], (5, 5, 4)),
    ("CausalMask", dict(), [IDS], (5, 5)),
    ("UniLMMask", dict(), [IDS], (2, 5, 5)),
    ("GlobalPointer", dict(heads=3, head_size=4, tril_mask=False), [X], (2, 3, 5, 5)),
    (
        "GlobalPointer",
        dict(heads=3, head_size=4, RoPE=False, use_bias=False, tril_mask=False),
        [X],
        (2, 3, 5, 5),
    ),
    ("EfficientGlobalPointer", dict(heads=3, head_size=4, tril_mask=False), [X], (2, 3, 5, 5)),
    ("ConditionalRandomField", dict(lr_multiplier=10), [X], (2, 5, 8)),
    ("MaximumEntropyMarkovModel", dict(), [X], (2, 5, 8)),
    ("MaximumEntropyMarkovModel", dict(lr_multiplier=10, hidden_dim=3), [X], (2, 5, 8)),
    ("FirstToken", dict(), [X], (2, 8)),
    ("GlobalAveragePooling1D", dict(), [X], (2, 8)),
    ("GlobalMaxPooling1D", dict(), [X], (2, 8)),
]
NAMES = [f"{row[0]}-{i}" for i, row in enumerate(ROWS)]


def build(name, arguments, values):
    """(layer, model) with inputs of unknown length."""
    inputs = [Input(shape=(None,) + value.shape[2:] if value is not CONDITION else (6,)) for value in values]
    layer = getattr(layers, name)(**arguments)
    return layer, Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0]))


@pytest.mark.parametrize("name, arguments, values, expected", ROWS, ids=NAMES)
def test_output_has_the_promised_shape(name, arguments, values, expected):
    layer, model = build(name, arguments, values)
    assert model.predict_on_batch(values).shape == expected
    shapes = [value.shape for value in values]
    assert tuple(layer.compute_output_shape(shapes if len(shapes) > 1 else shapes[0])) == expected


@pytest.mark.parametrize("name, arguments, values, expected", ROWS, ids=NAMES)
def test_one_model_runs_on_several_lengths(name, arguments, values, expected):
    _, model = build(name, arguments, values)
    short = [value if value is CONDITION else value[:, :3] for value in values]
    longer = model.predict_on_batch(values)
    assert np.isfinite(model.predict_on_batch(short).astype("float32")).all()
    np.testing.assert_array_equal(model.predict_on_batch(values), longer)


@pytest.mark.parametrize("name, arguments, values, expected", ROWS, ids=NAMES)
def test_configuration_makes_the_same_layer(name, arguments, values, expected):
    layer, model = build(name, arguments, values)
    copy = type(layer).from_config(layer.get_config())
    inputs = [Input(shape=(None,) + value.shape[2:] if value is not CONDITION else (6,)) for value in values]
    copied = Model(inputs, copy(inputs if len(inputs) > 1 else inputs[0]))
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copied.predict_on_batch(values), model.predict_on_batch(values))


@pytest.mark.parametrize(
    "name, arguments, values, expected",
    [
        (
            "MultiHeadAttention",
            dict(heads=2, head_size=3, key_size=5),
            [X, X, X],
            [(8, 10), (10,)] * 2 + [(8, 6), (6,), (6, 6), (6,)],
        ),
        (
            "FeedForward",
            dict(units=16, activation=["gelu", "linear"]),
            [X],
            [(8, 16), (16,)] * 2 + [(16, 8), (8,)],
        ),
        (
            "LayerNormalization",
            dict(conditional=True, hidden_units=3),
            [X, CONDITION],
            [(8,), (8,), (6, 3), (3, 8), (3, 8)],
        ),
    ],
)
def test_weights_stand_in_the_order_of_the_reference(name, arguments, values, expected):
    layer, _ = build(name, arguments, values)
    assert [value.shape for value in layer.get_weights()] == expected


def test_weights_of_one_shape_start_different():
    layer, _ = build("MultiHeadAttention", dict(heads=2, head_size=3), [X, X, X])
    q, _, k = layer.get_weights()[:3]
    assert not np.array_equal(q, k)


def test_embedding_masks_padding_but_never_the_first_token():
    ids = Input(shape=(None,))
    embedded = layers.Embedding(7, 4, mask_zero=True)(ids)
    mask = Model(ids, MaskOf()(embedded)).predict_on_batch(IDS)
    np.testing.assert_array_equal(mask, [[1, 0, 1, 1, 0], [1, 0, 0, 0, 0]])


def test_add_keeps_the_mask_of_one_side():
    ids = Input(shape=(None,))
    masked = layers.Embedding(7, 4, mask_zero=True)(ids)
    plain = layers.Embedding(7, 4)(ids)
    mask = Model(ids, MaskOf()(layers.Add()([masked, plain]))).predict_on_batch(IDS)
    np.testing.assert_array_equal(mask, [[1, 0, 1, 1, 0], [1, 0, 0, 0, 0]])


def test_concatenate_takes_a_missing_mask_as_unmasked():
    ids = Input(shape=(None,))
    masked, plain = layers.Embedding(7, 4, mask_zero=True)(ids), layers.Embedding(7, 4)(ids)
    mask = Model(ids, MaskOf()(layers.Concatenate1D()([plain, masked]))).predict_on_batch(IDS)
    np.testing.assert_array_equal(mask[0], [1, 1, 1, 1, 1, 1, 0, 1, 1, 0])


def test_embedding_projects_to_the_vocabulary():
    hidden = Input(shape=(None, 4))
    ids = Input(shape=(None,))
    embedding = layers.Embedding(7, 4)
    model = Model([ids, hidden], [embedding(ids), embedding(hidden, mode="dense")])
    _, logits = model.predict_on_batch([IDS, X[..., :4]])
    np.testing.assert_allclose(logits, X[..., :4] @ embedding.get_weights()[0].T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name, pool", [("GlobalAveragePooling1D", np.mean), ("GlobalMaxPooling1D", np.max)])
def test_pooling_leaves_padding_out(name, pool):
    ids = Input(shape=(None,))
    embedding = layers.Embedding(7, 4, mask_zero=True)
    pooled = Model(ids, getattr(layers, name)()(embedding(ids))).predict_on_batch(IDS)
    table = embedding.get_weights()[0]
    np.testing.assert_allclose(pooled[0], pool(table[[3, 2, 1]], axis=0), rtol=1e-5, atol=1e-6)


def test_a_text_longer_than_the_position_table_is_an_error():
    _, model = build("PositionEmbedding", dict(input_dim=4, output_dim=8), [X])
    with pytest.raises(Exception):  # noqa: B017  each framework has its own
        model.predict_on_batch([X])


def test_a_fresh_conditional_layer_ignores_its_condition():
    _, plain = build("LayerNormalization", dict(), [X])
    _, conditional = build("LayerNormalization", dict(conditional=True), [X, CONDITION])
    np.testing.assert_allclose(
        conditional.predict_on_batch([X, CONDITION]), plain.predict_on_batch([X]), atol=1e-6
    )


def test_attention_returns_scores_on_request():
    _, model = build("MultiHeadAttention", dict(heads=2, head_size=3), [X, X, X])
    layer = layers.MultiHeadAttention(2, 3, return_attention_scores=True)
    inputs = [Input(shape=(None, 8)) for _ in range(3)]
    outputs, scores = Model(inputs, layer(inputs)).predict_on_batch([X, X, X])
    assert outputs.shape == (2, 5, 6) and scores.shape == (2, 2, 5, 5)


def test_every_keras_layer_can_be_imported_by_name():
    names = {}
    exec("from bert4keras3.layers import *", names)
    assert {"Dense", "Dropout", "Input", "Lambda", "MultiHeadAttention"} <= set(names)
    assert names["MultiHeadAttention"] is layers.MultiHeadAttention


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_of_t5_are_those_of_its_formula(bidirectional):
    """The formula of the paper's code in float64, over all distances up to 600."""
    count = 16 if bidirectional else 32
    exact = count // 2
    distances = np.arange(600)
    with np.errstate(divide="ignore"):
        far = exact + np.log(distances / exact) / np.log(128 / exact) * (count - exact)
    expected = np.where(distances < exact, distances, np.minimum(np.floor(far + 1e-9), count - 1))
    layer = layers.RelativePositionEmbeddingT5(32, 4, bidirectional=bidirectional)
    buckets = layer.buckets(ops.convert_to_tensor(distances.astype("int32")), count)
    np.testing.assert_array_equal(evaluate(buckets), expected)


def evaluate(x):
    return keras.ops.convert_to_numpy(x) if hasattr(keras, "ops") else K.eval(x)
