"""Layers that learn by a loss of their own: CRF, MEMM, and models that are compiled without a loss."""

import itertools

import numpy as np
import pytest

from bert4keras3 import layers, ops
from bert4keras3.backend import K, get_values, keras

pytestmark = pytest.mark.usefixtures("fresh_session")
Input, Model = keras.layers.Input, keras.models.Model
RANDOM = np.random.RandomState(0)
SCORES = RANDOM.normal(size=(3, 4, 3)).astype("float32")  # (batch, length, tags)
TAGS = RANDOM.randint(0, 3, (3, 4))
LENGTHS = [4, 2, 0]
MASKED = np.where(np.arange(4)[:, None] < np.array(LENGTHS)[:, None, None], SCORES, -np.inf).astype("float32")
IDS = np.array([[5, 6, 7, 8], [5, 6, 0, 0], [5, 0, 0, 0]], dtype="float32")
MODELS = [
    ("ConditionalRandomField", {}),
    ("ConditionalRandomField", {"lr_multiplier": 2}),
    ("MaximumEntropyMarkovModel", {}),
    ("MaximumEntropyMarkovModel", {"hidden_dim": 2}),
]


def evaluate(x):
    return keras.ops.convert_to_numpy(x) if hasattr(keras, "ops") else K.eval(x)


def tensor(array):
    return ops.convert_to_tensor(np.asarray(array, "float32"))


def built(name, arguments):
    layer = getattr(layers, name)(**arguments)
    layer(Input(shape=(None, 3)))
    return layer


def logsumexp(values):
    return np.log(np.sum(np.exp(values)))


def test_crf_loss_is_that_of_all_paths_counted_one_by_one():
    layer = built("ConditionalRandomField", {})
    trans = get_values(layer.weights)[0]

    def score(row, path):
        return sum(SCORES[row, i, tag] for i, tag in enumerate(path)) + sum(
            trans[one, two] for one, two in zip(path, path[1:])
        )

    expected = [
        logsumexp([score(row, path) for path in itertools.product(range(3), repeat=length)])
        - score(row, TAGS[row, :length])
        for row, length in enumerate(LENGTHS[:2])
    ]
    loss = evaluate(layer.sparse_loss(tensor(TAGS), tensor(MASKED)))
    np.testing.assert_allclose(loss[:2], expected, rtol=1e-5)
    assert np.isfinite(loss).all()


def test_crf_takes_texts_of_one_token():
    layer = built("ConditionalRandomField", {})
    loss = evaluate(layer.sparse_loss(tensor(TAGS[:, :1]), tensor(SCORES[:, :1])))
    expected = [logsumexp(SCORES[i, 0]) - SCORES[i, 0, TAGS[i, 0]] for i in range(3)]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("name, arguments", MODELS)
@pytest.mark.parametrize("method", ["sparse_loss", "sparse_accuracy"])
def test_padding_does_not_count(name, arguments, method):
    """What the tags are where the scores are masked, and how much padding there is."""
    layer = built(name, arguments)
    value = evaluate(getattr(layer, method)(tensor(TAGS), tensor(MASKED)))
    other = np.where(np.arange(4) < np.array(LENGTHS)[:, None], TAGS, (TAGS + 1) % 3)
    longer = [np.pad(other, [(0, 0), (0, 2)], "constant")]
    longer.append(np.pad(MASKED, [(0, 0), (0, 2), (0, 0)], "constant", constant_values=-np.inf))
    again = evaluate(getattr(layer, method)(tensor(longer[0]), tensor(longer[1])))
    np.testing.assert_allclose(value, again, rtol=1e-5)


@pytest.mark.parametrize("name, arguments", MODELS)
def test_losses_are_finite_whatever_is_masked(name, arguments):
    layer = built(name, arguments)
    gaps = MASKED.copy()
    gaps[0, 1] = gaps[1, 0] = -np.inf
    for scores in (gaps, np.full_like(MASKED, -np.inf)):
        assert np.isfinite(evaluate(layer.sparse_loss(tensor(TAGS), tensor(scores)))).all()
        assert np.isfinite(evaluate(layer.sparse_accuracy(tensor(TAGS), tensor(scores)))).all()


@pytest.mark.parametrize("name, arguments", MODELS)
def test_dense_and_sparse_agree(name, arguments):
    layer = built(name, arguments)
    one_hot = np.eye(3)[TAGS]
    for what in ("loss", "accuracy"):
        sparse = getattr(layer, "sparse_" + what)(tensor(TAGS[:, :, None]), tensor(MASKED))
        dense = getattr(layer, "dense_" + what)(tensor(one_hot), tensor(MASKED))
        np.testing.assert_allclose(evaluate(sparse), evaluate(dense), rtol=1e-6)


def test_lr_multiplier_divides_what_is_stored():
    layer = built("ConditionalRandomField", {"lr_multiplier": 10})
    stored = layer.get_weights()[0]
    assert np.abs(stored).max() <= 1 / 10  # glorot_uniform of 3 by 3 has a limit of 1
    np.testing.assert_allclose(evaluate(layer.trans), 10 * stored, rtol=1e-6)


@pytest.mark.parametrize("name, arguments", MODELS)
def test_tagging_models_learn(name, arguments):
    """With masks from an embedding and lengths unknown."""
    ids = Input(shape=(None,))
    x = layers.Embedding(9, 3, mask_zero=True)(ids)
    layer = getattr(layers, name)(**arguments)
    model = Model(ids, layer(x))
    model.compile(keras.optimizers.SGD(0.2), loss=layer.sparse_loss, metrics=[layer.sparse_accuracy])
    before = layer.get_weights()[0]
    history = model.fit(IDS, TAGS.astype("float32"), batch_size=3, epochs=15, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert any("accuracy" in name and 0 <= values[-1] <= 1 for name, values in history.items())
    assert not np.array_equal(layer.get_weights()[0], before)
    model.predict(IDS[:, :2])


class CrossEntropy(layers.Loss):
    """Inputs: [tags as numbers, probabilities]; tokens that are masked do not count."""

    def compute_loss(self, inputs, mask=None):
        y_true, y_pred = inputs
        y_mask = ops.ones_like(y_true) if mask is None or mask[1] is None else ops.cast(mask[1], "float32")
        y_true = ops.one_hot(ops.cast(y_true, "int32"), 3)
        loss = -ops.sum(y_true * ops.log(y_pred), axis=-1)
        right = ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1))
        self.add_metric(ops.sum(ops.cast(right, "float32") * y_mask) / ops.sum(y_mask), name="right")
        return ops.sum(loss * y_mask) / ops.sum(y_mask)


def model_with_loss():
    ids, tags = Input(shape=(None,)), Input(shape=(None,))
    x = layers.Embedding(9, 3, mask_zero=True)(ids)
    x = layers.Dense(3, activation="softmax")(x)
    predicting = Model(ids, x)
    model = Model([ids, tags], CrossEntropy(output_axis=1)([tags, x]))
    return model, predicting


def test_a_model_with_a_loss_layer_trains_without_another():
    model, predicting = model_with_loss()
    model.compile(keras.optimizers.SGD(1.0))
    history = model.fit([IDS, TAGS.astype("float32")], batch_size=3, epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    probabilities = predicting.predict(IDS)
    kept = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], "bool")
    right = (probabilities.argmax(-1) == TAGS)[kept].mean()
    loss = -np.log(np.take_along_axis(probabilities, TAGS[:, :, None], -1)[kept]).mean()
    results = model.evaluate([IDS, TAGS.astype("float32")], batch_size=3, verbose=0)
    results = dict(zip(model.metrics_names, results))
    np.testing.assert_allclose(results["loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(history["right"][-1], results["right"], atol=0.5)
    np.testing.assert_allclose(results["right"], right, rtol=1e-5)


@pytest.mark.parametrize("output_axis, outputs", [(None, 2), (0, 1), (1, 1), ([1, 0], 2)])
def test_output_axis_chooses_what_a_loss_hands_on(output_axis, outputs):
    ids, tags = Input(shape=(None, 3)), Input(shape=(None, 3))

    class Sum(layers.Loss):
        def compute_loss(self, inputs, mask=None):
            return ops.sum(inputs[0])

    result = Model([ids, tags], Sum(output_axis)([ids, tags])).predict_on_batch([SCORES, 2 * SCORES])
    result = list(result) if isinstance(result, (list, tuple)) else [result]
    places = [0, 1] if output_axis is None else [output_axis] if isinstance(output_axis, int) else output_axis
    assert len(result) == outputs
    for values, place in zip(result, places):
        np.testing.assert_array_equal(values, SCORES * (place + 1))


def test_a_loss_without_compute_loss_says_so():
    with pytest.raises(Exception, match="compute_loss"):
        layers.Loss().compute_loss(None)


def test_a_batch_is_split_and_joined_again():
    ids = Input(shape=(None,))
    x = layers.Embedding(9, 3, mask_zero=True)(ids)
    parts = layers.BatchSplit([1, 2])(x)
    pooled = [layers.GlobalAveragePooling1D()(part) for part in parts]
    whole, joined = Model(
        ids, [layers.GlobalAveragePooling1D()(x), layers.BatchConcat()(pooled)]
    ).predict_on_batch(IDS)
    np.testing.assert_array_equal(whole, joined)
