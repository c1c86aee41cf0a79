"""What scripts for Keras 2 write and Keras 3 refuses, on Keras's own classes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bert4keras3.backend import FLAVOUR, K, framework, get_values, keras, ops

pytestmark = pytest.mark.skipif(FLAVOUR != "keras3", reason="Keras 2 takes all of it")
trains = pytest.mark.skipif(framework in ("openvino", "numpy"), reason="Keras trains on three backends")
X = np.arange(12, dtype="float32").reshape(4, 3) / 12
Y = np.array([0, 1, 1, 0])


def make_model():
    x = keras.layers.Input((3,))
    model = keras.Model(x, keras.layers.Dense(2, activation="softmax")(x))
    if framework not in ("openvino", "numpy"):
        model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def predict(model):
    return model.predict(X, verbose=0)


def test_keras_is_keras_itself():
    import keras as itself

    assert keras is itself
    assert isinstance(keras.Sequential(), keras.Model)


def test_a_subclass_of_model_works_after_a_functional_model():
    make_model()

    class Double(keras.models.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, kernel_initializer="ones")

        def call(self, inputs):
            return 2 * self.dense(inputs)

    np.testing.assert_allclose(predict(Double()), 2 * X.sum(1, keepdims=True) * [1, 1], rtol=1e-6)


@pytest.mark.parametrize("name", ["best_model.weights", "best", "best.h5", "best.weights.h5"])
@pytest.mark.parametrize("sequential", [False, True])
def test_weights_go_to_a_file_of_any_name(tmp_path, name, sequential):
    make = (
        (lambda: keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)]))
        if sequential
        else make_model
    )
    model, other = make(), make()
    model.save_weights(str(tmp_path / name))
    other.load_weights(tmp_path / name)
    np.testing.assert_array_equal(predict(model), predict(other))
    assert os.listdir(str(tmp_path)) == [name]


@pytest.mark.parametrize("name", ["test.model", "test.keras", "test.h5", "test"])
def test_a_model_goes_to_a_file_of_any_name(tmp_path, name):
    model = make_model()
    model.save(str(tmp_path / name))
    for load in (keras.models.load_model, keras.saving.load_model):
        np.testing.assert_array_equal(predict(model), predict(load(str(tmp_path / name))))


def test_save_format_is_taken(tmp_path):
    import h5py

    model = make_model()
    model.save(str(tmp_path / "a.model"), save_format="h5")
    assert h5py.is_hdf5(str(tmp_path / "a.model"))
    model.save_weights(str(tmp_path / "weights"), save_format="h5")
    np.testing.assert_array_equal(predict(model), predict(keras.models.load_model(str(tmp_path / "a.model"))))


@pytest.mark.parametrize("load", ["load_weights", "load_model"])
def test_a_missing_file_is_called_missing(tmp_path, load):
    model = make_model()
    model.save_weights(str(tmp_path / "best_model.weights"))
    function = model.load_weights if load == "load_weights" else keras.models.load_model
    with pytest.raises(FileNotFoundError, match="best_model.weights"):
        function(str(tmp_path / "best_modle.weights"))


@trains
@pytest.mark.parametrize("only_weights", [False, True])
@pytest.mark.parametrize("name", ["best.model", "best.keras", "epoch{epoch}"])
def test_a_checkpoint_goes_to_a_file_of_any_name(tmp_path, name, only_weights):
    model = make_model()
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / name), save_weights_only=only_weights)
    model.fit(X, Y, epochs=1, callbacks=[checkpoint], verbose=0)
    path = str(tmp_path / name.format(epoch=1))
    other = make_model()
    if only_weights:
        other.load_weights(path)
    else:
        other = keras.models.load_model(path)
    np.testing.assert_array_equal(predict(model), predict(other))


def test_a_failing_save_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    model, path = make_model(), tmp_path / "best_model.weights"
    model.save_weights(path)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(keras.layers.Dense, "save_own_variables", fail)
    with pytest.raises(OSError, match="no space"):
        model.save_weights(path)
    assert path.read_bytes() == before and os.listdir(str(tmp_path)) == ["best_model.weights"]


@trains
@pytest.mark.parametrize(
    "method", ["fit", "evaluate", "train_on_batch", "test_on_batch", "predict", "predict_on_batch"]
)
def test_nested_lists_are_arrays(method):
    inputs = [keras.layers.Input((3,)) for _ in range(2)]
    model = keras.Model(inputs, keras.layers.Dense(2, kernel_initializer="ones")(keras.layers.Add()(inputs)))
    model.compile("sgd", "mse")
    targets = () if method.startswith("predict") else (np.zeros((4, 2)),)
    outputs = getattr(model, method)([X.tolist(), X.tolist()], *targets)
    if method.startswith("predict"):
        np.testing.assert_allclose(outputs, 2 * X.sum(1, keepdims=True) * [1, 1], rtol=1e-6)


def batches():
    while True:
        yield X, Y


@trains
def test_generator_methods_of_keras_2_are_those_without_generator():
    model, other = make_model(), make_model()
    other.set_weights(model.get_weights())
    history = model.fit_generator(
        batches(), 3, 2, verbose=0, workers=1, use_multiprocessing=False, max_queue_size=5
    )
    expected = other.fit(batches(), steps_per_epoch=3, epochs=2, verbose=0)
    np.testing.assert_allclose(history.history["loss"], expected.history["loss"])
    outputs = model.predict_generator(((X,) for _ in range(2)), 2)
    np.testing.assert_allclose(outputs, np.tile(predict(model), (2, 1)), rtol=1e-6)
    loss = model.evaluate_generator(batches(), 2)
    np.testing.assert_allclose(loss, model.evaluate(X, Y, verbose=0), rtol=1e-5)


class Adds(keras.layers.Layer):
    """A plain layer of Keras that adds a metric and a loss, as scripts for Keras 2 do."""

    def call(self, inputs):
        self.add_metric(ops.mean(inputs), name="mean_input", aggregation="mean")
        self.add_loss(ops.mean(inputs), inputs=inputs)
        return inputs


@trains
def test_a_layer_of_keras_adds_metrics():
    x = keras.layers.Input((3,))
    model = keras.Model(x, keras.layers.Dense(2, activation="softmax")(Adds()(x)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    history = model.fit(X, Y, epochs=2, batch_size=2, verbose=0, validation_data=(X[:2], Y[:2])).history
    np.testing.assert_allclose(history["mean_input"], 2 * [X.mean()], rtol=1e-6)
    np.testing.assert_allclose(history["val_mean_input"], 2 * [X[:2].mean()], rtol=1e-6)


@trains
def test_callbacks_read_the_newest_weights_by_any_name():
    model, seen = make_model(), []

    class Reads(keras.callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append(model.get_weights()[0])  # not through self.model

        def on_epoch_end(self, epoch, logs=None):
            np.testing.assert_array_equal(model.get_weights()[0], seen[-1])

    model.fit(X, Y, batch_size=2, epochs=2, callbacks=[Reads()], verbose=0)
    assert len(seen) == 4
    assert all(np.abs(now - before).max() > 0 for before, now in zip(seen, seen[1:]))


@trains
def test_fit_goes_on_if_the_first_batches_have_one_length():
    x = keras.layers.Input((None,))
    vectors = keras.layers.Embedding(9, 4, mask_zero=True)(x)
    model = keras.Model(
        x, keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling1D()(vectors))
    )
    model.compile("sgd", "sparse_categorical_crossentropy")

    def varied():
        for length in (32, 32, 27, 32, 5):
            yield np.ones((2, length), "int32"), np.array([0, 1])

    history = model.fit(
        varied(), steps_per_epoch=5, epochs=1, verbose=0, validation_data=varied(), validation_steps=5
    )
    assert np.isfinite(history.history["val_loss"]).all() and np.isfinite(history.history["loss"]).all()
    assert np.isfinite(model.evaluate(varied(), steps=5, verbose=0))
    assert model.predict((one[:1] for one in varied()), steps=5, verbose=0).shape == (10, 2)


@trains
@pytest.mark.parametrize("lengths", [(1, 1, 3), (3, 3, 1)])
def test_fit_takes_labels_with_an_axis_of_size_1(lengths):
    x = keras.layers.Input((None,))
    vectors = keras.layers.Embedding(9, 4)(x)
    model = keras.Model(
        x, keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling1D()(vectors))
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    data = ((np.ones((2, length), "int32"), np.array([[0], [1]])) for length in lengths)
    assert np.isfinite(model.fit(data, steps_per_epoch=3, epochs=1, verbose=0).history["loss"]).all()


@trains
def test_a_crf_trains_on_a_generator_of_any_lengths():
    from bert4keras3.layers import ConditionalRandomField

    x = keras.layers.Input((None, 3))
    crf = ConditionalRandomField()
    model = keras.Model(x, crf(x))
    model.compile("sgd", crf.sparse_loss, metrics=[crf.sparse_accuracy])
    data = ((np.ones((2, length, 3), "float32"), np.ones((2, length), "int32")) for length in (5, 5, 3))
    history = model.fit(data, steps_per_epoch=3, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all() and 0 <= history["sparse_accuracy"][0] <= 1


@trains
def test_a_generator_is_used_up_once():
    model = make_model()
    used = []

    def finite():
        for number in range(4):
            used.append(number)
            yield X, Y

    model.fit(finite(), steps_per_epoch=2, epochs=2, verbose=0)
    assert used[:4] == [0, 1, 2, 3] and len(used) == 4


@trains
@pytest.mark.parametrize("name", ["classes", "label"])
@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_targets_may_have_names(name, method):
    x = keras.layers.Input((3,), name="x")
    model = keras.Model(x, keras.layers.Dense(2, activation="softmax", name="classes")(x))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["sparse_categorical_accuracy"])
    expected = model.evaluate(X, Y, verbose=0)
    found = getattr(model, method)({"x": X}, {name: Y})
    found = [found.history["loss"][0]] if method == "fit" else found
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)


@trains
def test_targets_of_several_outputs_go_by_name():
    x = keras.layers.Input((3,))
    outputs = [keras.layers.Dense(1, name="a")(x), keras.layers.Dense(1, name="b")(x)]
    model = keras.Model(x, outputs)
    model.compile("sgd", ["mse", "mae"])
    zeros, ones = np.zeros((4, 1)), np.ones((4, 1))
    expected = model.evaluate(X, [zeros, ones], verbose=0)
    np.testing.assert_allclose(model.evaluate(X, {"b": ones, "a": zeros}, verbose=0), expected, rtol=1e-5)


@pytest.mark.skipif(framework != "tensorflow", reason="to_dataset needs TensorFlow")
def test_a_dataset_with_names_of_labels_trains():
    from bert4keras3.models import build_transformer_model
    from bert4keras3.snippets import DataGenerator

    class Samples(DataGenerator):
        def __iter__(self, random=False):
            for _, length in self.sample(random):
                yield [[1] * length, [0] * length], [[length % 2]]

    bert = build_transformer_model(
        vocab_size=9,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        hidden_act="gelu",
    )
    pooled = keras.layers.GlobalAveragePooling1D()(bert.output)
    model = keras.Model(bert.inputs, keras.layers.Dense(2, activation="softmax")(pooled))
    model.compile("sgd", "sparse_categorical_crossentropy")
    dataset = Samples([3, 5, 4, 3], batch_size=2).to_dataset(
        types=[("float32", "float32"), ("float32",)],
        shapes=[([None], [None]), ([1],)],
        names=[("Input-Token", "Input-Segment"), ("label",)],
        padded_batch=True,
    )
    history = model.fit(
        dataset, steps_per_epoch=2, epochs=2, verbose=0, validation_data=dataset, validation_steps=2
    )
    assert np.isfinite(history.history["loss"] + history.history["val_loss"]).all()


def test_lr_is_the_learning_rate():
    optimizer = keras.optimizers.Adam(lr=0.25)
    assert float(ops.convert_to_numpy(optimizer.lr)) == 0.25
    optimizer.lr = 0.5
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == 0.5
    assert float(ops.convert_to_numpy(keras.optimizers.SGD(0.125).lr)) == 0.125


def test_a_layer_of_keras_has_its_outputs_by_number():
    x, y = keras.layers.Input((3,)), keras.layers.Input((3,))
    dense = keras.layers.Dense(2)
    outputs = [dense(x), dense(y)]
    assert [dense.get_output_at(0), dense.get_output_at(-1)] == outputs


def test_add_weight_takes_the_positions_of_keras_2():
    weight = keras.layers.Layer().add_weight("scale", (3,), None, "ones")
    assert weight.name == "scale" and get_values([weight])[0].tolist() == [1, 1, 1]


def test_from_keras_import_backend_has_the_functions_of_keras_2():
    from keras import backend

    assert backend.int_shape is K.int_shape
    np.testing.assert_allclose(backend.eval(backend.sum(backend.constant(X), axis=1)), X.sum(1), rtol=1e-6)


# K.gradients


class GradientOfSquares(keras.layers.Layer):
    """Gradient of Σ outputs² by the first input, as layers for integrated gradients compute it."""

    def call(self, inputs):
        source, outputs, factor = inputs
        return K.gradients(factor * K.sum(K.square(outputs), axis=-1, keepdims=True), [source])[0]

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@trains
def test_gradients_in_the_call_of_a_layer():
    ids, factor = keras.layers.Input((3,), dtype="int32"), keras.layers.Input((1,))
    table, dense = keras.layers.Embedding(9, 4), keras.layers.Dense(5, activation="tanh")
    vectors = table(ids)
    outputs = dense(keras.layers.Flatten()(vectors))
    gradient = GradientOfSquares()([vectors, outputs, factor])
    model = keras.Model([ids, factor], gradient)
    tokens = np.array([[1, 2, 3], [4, 5, 1]], "int32")
    for scale in (1.0, 0.5):  # changed weights count
        table.set_weights([scale * np.linspace(-1, 1, 36, dtype="float32").reshape(9, 4)])
        found = model.predict([tokens, np.array([[1.0], [3.0]], "float32")], verbose=0)
        kernel, bias = get_values(dense.weights)
        flat = get_values(table.weights)[0][tokens].reshape(2, -1)
        tanh = np.tanh(flat @ kernel + bias)
        expected = (2 * tanh * (1 - tanh**2) * [[1.0], [3.0]]) @ kernel.T
        np.testing.assert_allclose(found, expected.reshape(2, 3, 4), rtol=2e-5, atol=1e-6)


def test_gradients_elsewhere_name_what_to_write():
    x = ops.convert_to_tensor(X)
    with pytest.raises(NotImplementedError, match="bert4keras3.gradients"):
        K.gradients(K.sum(x), [x])


# The switch


PLAIN = """
import keras
import numpy as np

def state():
    names = set(vars(keras.Model)) - {"compile_calls"}
    model = {name: vars(keras.Model)[name] for name in names}
    return model, dict(vars(keras.layers.Layer)), keras.models.load_model, set(vars(keras.backend))

plain = state()
from bert4keras3.models import build_transformer_model
sizes = dict(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
model = build_transformer_model(hidden_act="gelu", **sizes)
assert np.isfinite(model.predict([np.ones((1, 3)), np.zeros((1, 3))], verbose=0)).all()
assert state() == plain
"""


def test_the_switch_leaves_keras_as_it_is():
    done = subprocess.run(
        [sys.executable, "-c", PLAIN],
        env=dict(os.environ, BERT4KERAS3_LEGACY_SCRIPTS="0"),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_extended_method_is_listed_in_the_documentation():
    from bert4keras3.backend.extensions import EXTENDED

    path = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "migrate.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    public = {name for name in EXTENDED if "_" != name.split(".")[1][0] and not name.startswith("backend.")}
    assert {name for name in public if f"`{name}`" not in text} == set()
