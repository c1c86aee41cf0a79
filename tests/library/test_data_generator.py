"""Batches that every Keras takes."""

import importlib.util
import itertools

import numpy as np
import pytest

from bert4keras3 import snippets
from bert4keras3.backend import Layer, keras, ops


class Generator(snippets.DataGenerator):
    """Samples are numbers; `make` makes a batch from an array (batch, 3)."""

    make = staticmethod(lambda x: (x, x))

    def __iter__(self, random=False):
        batch = []
        for is_end, sample in self.sample(random):
            batch.append([sample] * 3)
            if len(batch) == self.batch_size or is_end:
                yield self.make(np.array(batch, "float32"))
                batch = []


FORMS = {
    "x, y": lambda x: (x, x[:, :1]),
    "x, None": lambda x: (x, None),
    "[x, x], y": lambda x: ([x, x], x[:, :1]),
    "(x, x), y": lambda x: ((x, x), x[:, :1]),
    "[[x, x], y]": lambda x: [[x, x], x[:, :1]],
    "[x, x], None": lambda x: ([x, x], None),
    "[x, x], [y, y]": lambda x: ([x, x], [x[:, :1], x[:, :1]]),
}


class MeanSquare(Layer):
    """A loss in the model, as users of bert4keras have it, for a fit without targets."""

    def call(self, inputs, mask=None, **kwargs):
        self.add_loss(ops.mean(inputs * inputs))
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


def make_model(form):
    inputs = [keras.layers.Input((3,)) for _ in range(2 if "x, x" in form else 1)]
    x = keras.layers.Add()(inputs) if len(inputs) > 1 else inputs[0]
    outputs = [keras.layers.Dense(1)(x) for _ in range(2 if "y, y" in form else 1)]
    if "None" in form:
        outputs = [MeanSquare()(outputs[0])]
    model = keras.models.Model(
        inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0]
    )
    if "None" in form:
        model.compile(optimizer="sgd")
    else:
        model.compile(optimizer="sgd", loss=["mse"] * len(outputs) if len(outputs) > 1 else "mse")
    return model


@pytest.mark.parametrize("form", FORMS)
def test_fit_takes_batches_of_any_form(form, fresh_session):
    generator = Generator(list(range(10)), batch_size=4)
    generator.make = FORMS[form]
    model = make_model(form)
    before = model.get_weights()[0].copy()
    model.fit(generator.forfit(), steps_per_epoch=len(generator), epochs=2, verbose=0)
    assert not np.array_equal(before, model.get_weights()[0])


@pytest.mark.parametrize("form", ["x, y", "[x, x], y", "[x, x], None"])
def test_predict_takes_batches_of_any_form(form, fresh_session):
    generator = Generator(list(range(10)), batch_size=4)
    generator.make = FORMS[form]
    model = make_model(form)
    rows = model.predict(generator.fortest(), steps=len(generator), verbose=0)
    x = np.repeat(np.arange(10.0)[:, None], 3, axis=1)
    np.testing.assert_allclose(rows, model.predict([x, x] if "x, x" in form else x, verbose=0), rtol=1e-4)


def test_batch_of_inputs_alone_gets_no_targets():
    generator = Generator([1, 2])
    generator.make = lambda x: x
    inputs, targets = next(generator.forfit(random=False))
    assert (inputs[:, 0].tolist(), targets) == ([1, 2], None)


def test_seed_repeats_the_order():
    orders = []
    for _ in range(2):
        np.random.seed(5)
        batches = itertools.islice(Generator(list(range(10)), batch_size=4).forfit(), 6)
        orders.append([x[:, 0].tolist() for x, _ in batches])
    assert orders[0] == orders[1]
    assert sum(orders[0][:3], []) != sum(orders[0][3:], [])
    assert sorted(sum(orders[0][3:], [])) == list(range(10))


def test_no_data_gives_no_samples():
    assert list(Generator([]).sample()) == list(Generator(iter([])).sample(random=True)) == []


def test_fit_without_data_raises():
    with pytest.raises(ValueError, match="Generator.*none"):
        next(Generator([]).forfit())


def test_data_without_length_has_no_number_of_batches():
    with pytest.raises(TypeError, match="steps_per_epoch"):
        len(Generator(iter([1])))


def test_missing_iter_is_named():
    with pytest.raises(NotImplementedError, match="__iter__"):
        next(snippets.DataGenerator([1]).forfit())


class Samples(snippets.DataGenerator):
    def __iter__(self, random=False):
        for _, (x, y) in self.sample(random):
            yield x, y


PAIRS = [([1, 2, 3], 0), ([4], 1), ([5, 6], 0)]


@pytest.mark.parametrize(
    "names, expected",
    [
        (None, lambda x, y: (x, y)),
        (["x", "y"], lambda x, y: {"x": x, "y": y}),
    ],
)
def test_dataset_pads_its_batches(names, expected):
    tf = pytest.importorskip("tensorflow", reason="to_dataset needs TensorFlow")
    np.random.seed(0)
    order = np.random.permutation(3)[:2]
    np.random.seed(0)
    dataset = Samples(PAIRS, batch_size=2).to_dataset(
        ("int32", "int32"), ([None], []), names, padded_batch=True
    )
    if tf.__version__ < "2" or not tf.executing_eagerly():
        batch = tf.compat.v1.data.make_one_shot_iterator(dataset).get_next()
        with tf.compat.v1.Session() as session:
            batch = session.run(batch)
    else:
        batch = next(iter(dataset))
    x = snippets.sequence_padding([PAIRS[i][0] for i in order]).tolist()
    rows = tf.nest.map_structure(lambda part: np.asarray(part).tolist(), batch)
    assert rows == expected(x, [PAIRS[i][1] for i in order])


def test_dataset_without_tensorflow_says_so():
    if importlib.util.find_spec("tensorflow"):
        pytest.skip("TensorFlow is installed")
    with pytest.raises(ImportError, match="forfit"):
        Samples(PAIRS).to_dataset(("int32", "int32"), ([None], []))
