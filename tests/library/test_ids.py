"""Ids, segments and labels beyond their tables are refused before a framework sees them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from small_models import TINY

from bert4keras3.backend import FLAVOUR, K, framework, keras, ops
from bert4keras3.layers import Embedding
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import DataGenerator

pytestmark = pytest.mark.skipif(FLAVOUR != "keras3", reason="TensorFlow itself refuses them")
trains = pytest.mark.skipif(framework in ("openvino", "numpy"), reason="Keras trains on three backends")
GOOD = [np.array([[2, 5, 49], [2, 7, 3]]), np.array([[0, 0, 1], [0, 0, 0]])]
LABELS = np.array([0, 2])


def changed(place, value, dtype=None):
    arrays = [one.copy() for one in GOOD]
    arrays[place][1, 2] = value
    return [one.astype(dtype or one.dtype) for one in arrays]


def make_model(**arguments):
    bert = build_transformer_model(**dict(TINY, **arguments))
    pooled = keras.layers.GlobalAveragePooling1D()(bert.output)
    model = keras.Model(bert.inputs, keras.layers.Dense(3, activation="softmax", name="classes")(pooled))
    if framework not in ("openvino", "numpy"):
        model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
@pytest.mark.parametrize(
    "place, value, message",
    [
        (
            0,
            50,
            "input 'Input-Token' has the id 50 at .1, 2., but layer 'Embedding-Token' knows ids from 0 to 49",
        ),
        (0, -1, "has the id -1 at .1, 2."),
        (
            1,
            2,
            "input 'Input-Segment' has the id 2 at .1, 2., but layer 'Embedding-Segment' knows ids from 0 to 1",
        ),
    ],
)
def test_predict_names_input_id_and_table(place, value, message, dtype):
    with pytest.raises(ValueError, match=message):
        make_model().predict(changed(place, value, dtype), verbose=0)


@trains
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_training_and_evaluation_refuse_ids_and_labels(method):
    model = make_model()
    weights = model.get_weights()
    with pytest.raises(ValueError, match="'Embedding-Token' knows ids from 0 to 49"):
        getattr(model, method)(changed(0, 99), LABELS)
    with pytest.raises(
        ValueError, match="labels of output 'classes' has the id 3 at .1,., but .* from 0 to 2"
    ):
        getattr(model, method)(GOOD, np.array([0, 3]))
    for before, after in zip(weights, model.get_weights()):
        np.testing.assert_array_equal(before, after)
    getattr(model, method)(GOOD, LABELS)


class Batches(DataGenerator):
    def __iter__(self, random=False):
        for _, batch in self.sample(random):
            yield batch


@trains
@pytest.mark.parametrize("wrong", [(changed(0, 50), LABELS), (GOOD, np.array([0, 3]))])
def test_a_data_generator_is_checked_batch_by_batch(wrong):
    model = make_model()
    generator = Batches([(GOOD, LABELS), (GOOD, LABELS), wrong], batch_size=1)
    with pytest.raises(Exception, match="knows ids from 0 to"):
        model.fit(generator.forfit(random=False), steps_per_epoch=3, epochs=1, verbose=0)
    with pytest.raises(Exception, match="knows ids from 0 to"):
        model.evaluate(generator.forfit(random=False), steps=3, verbose=0)


@trains
def test_validation_data_is_checked():
    with pytest.raises(ValueError, match="knows ids from 0 to 49"):
        make_model().fit(GOOD, LABELS, verbose=0, validation_data=(changed(0, 50), LABELS))


def test_ids_of_positions_and_of_inner_models_are_checked():
    inner = build_transformer_model(custom_position_ids=True, **TINY)
    inputs = [keras.layers.Input((None,)) for _ in range(3)]
    outer = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(inner(inputs)))
    positions = np.array([[0, 1, 2], [0, 1, 23]])
    outer.predict([*GOOD, positions], verbose=0)
    with pytest.raises(ValueError, match="has the id 24 at .1, 2., but layer 'Embedding-Position'"):
        outer.predict([*GOOD, positions + [[0, 0, 0], [0, 0, 1]]], verbose=0)
    with pytest.raises(ValueError, match="has the id 50"):
        outer.predict([*changed(0, 50), positions], verbose=0)


def test_a_plain_model_of_keras_is_checked_and_dicts_by_name():
    x = keras.layers.Input((3,), name="ids")
    model = keras.Model({"ids": x}, keras.layers.Embedding(9, 4)(x))
    with pytest.raises(ValueError, match="input 'ids' has the id 9"):
        model.predict({"ids": np.array([[1, 2, 9]])}, verbose=0)


@trains
def test_a_sequential_model_is_checked():
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(GOOD[0], LABELS, verbose=0)
    with pytest.raises(ValueError, match="3"):
        model.train_on_batch(GOOD[0], LABELS + 1)


def test_an_embedding_that_also_projects_has_no_ids_there():
    x = keras.layers.Input((None,))
    table = Embedding(9, 4)
    model = keras.Model(x, table(table(x), mode="dense"))
    assert np.isfinite(model.predict(np.array([[1, 8]]), verbose=0)).all()


@pytest.mark.skipif(framework != "jax", reason="other frameworks raise an error")
def test_a_wrong_label_shows_as_nan_in_a_loss_of_ones_own():
    scores = ops.convert_to_tensor(np.full((3, 4), 0.25, "float32"))
    losses = K.eval(K.sparse_categorical_crossentropy(np.array([0, 4, -1]), scores))
    np.testing.assert_allclose(losses, [np.log(4), np.nan, np.nan], rtol=1e-6)


@trains
def test_cached_generation_refuses_ids():
    from bert4keras3.generation import CachedModel

    transformer = build_transformer_model(application="lm", return_keras_model=False, **TINY)
    cached = CachedModel(transformer)
    with pytest.raises(ValueError, match="expected token ids from 0 to 49, got 2 to 50"):
        cached.predict(changed(0, 50))
    with pytest.raises(ValueError, match="expected segment ids from 0 to 1"):
        cached.predict(changed(1, 2))


OFF = """
import numpy as np
from bert4keras3.backend import keras
x = keras.layers.Input((1,))
model = keras.Model(x, keras.layers.Embedding(9, 4)(x))
try:
    model.predict(np.array([[9]]), verbose=0)
except ValueError as error:
    assert "knows ids" not in str(error)
except Exception:
    pass
"""


def test_the_check_can_be_turned_off():
    done = subprocess.run([sys.executable, "-c", OFF], env=dict(os.environ, BERT4KERAS3_CHECK_IDS="0"))
    assert done.returncode == 0
