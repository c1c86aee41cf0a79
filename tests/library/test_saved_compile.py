"""How a model was compiled goes to a file and back: losses that are methods, optimizers and their state."""

import numpy as np
import pytest

from bert4keras3 import backend
from bert4keras3.backend import FLAVOUR, framework, get_values, keras
from bert4keras3.layers import ConditionalRandomField, Dense, Embedding, Input, MaximumEntropyMarkovModel

pytestmark = [
    pytest.mark.usefixtures("fresh_session"),
    pytest.mark.skipif(FLAVOUR != "keras3", reason="Keras 2 reads what it writes, or asks for compile=False"),
    pytest.mark.skipif(framework in ("openvino", "numpy"), reason="Keras trains on three backends"),
    pytest.mark.filterwarnings("ignore"),
]
TOKENS = np.array([[3, 4, 5, 6, 0], [2, 7, 0, 0, 0]])
TAGS = np.array([[1, 2, 3, 0, 0], [1, 1, 0, 0, 0]])
FILES = ["saved.keras", "saved.h5"]


def scores(inputs, name="scores"):
    return Dense(4, name=name)(Embedding(10, 8, mask_zero=True, name="table-" + name)(inputs))


def tagger(layer, name="sparse", **arguments):
    inputs = Input((None,), name="tokens")
    model = keras.models.Model(inputs, layer(scores(inputs)))
    losses = dict(loss=getattr(layer, name + "_loss"), metrics=[getattr(layer, name + "_accuracy")])
    model.compile(**dict(dict(losses, optimizer="adam"), **arguments))
    return model


def regression(**arguments):
    inputs = Input((None,), name="tokens")
    model = keras.models.Model(inputs, scores(inputs))
    model.compile(**dict(dict(optimizer="adam", loss="mse"), **arguments))
    return model


def saved_and_loaded(model, path, **arguments):
    model.save(str(path))
    return keras.models.load_model(str(path), **arguments)


def results(model, labels=TAGS):
    return model.evaluate(TOKENS, labels, return_dict=True, verbose=0)


def assert_equal_training(model, other, labels):
    for one in (model, other):
        one.fit(TOKENS, labels, epochs=2, verbose=0)
    for mine, theirs in zip(get_values(model.weights), get_values(other.weights)):
        np.testing.assert_allclose(theirs, mine, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", ["sparse", "dense"])
@pytest.mark.parametrize("kind", [ConditionalRandomField, MaximumEntropyMarkovModel])
def test_methods_of_a_layer_load_as_loss_and_metric(tmp_path, kind, name, file):
    model = tagger(kind(lr_multiplier=2), name)
    labels = TAGS if name == "sparse" else np.eye(4)[TAGS]
    model.fit(TOKENS, labels, verbose=0)
    loaded = saved_and_loaded(model, tmp_path / file)
    expected = results(model, labels)
    assert set(expected) == {"loss", name + "_accuracy"}
    found = results(loaded, labels)
    assert set(found) == set(expected)
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-6)
    assert_equal_training(model, loaded, labels)


@pytest.mark.parametrize("file", FILES + ["ner.model"])
def test_the_loss_is_the_method_of_the_loaded_layer(tmp_path, file):
    loaded = saved_and_loaded(tagger(ConditionalRandomField(name="crf")), tmp_path / file)
    assert loaded.loss.__self__ is loaded.get_layer("crf")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("as_dict", [False, True])
def test_each_output_gets_the_method_of_its_layer(tmp_path, as_dict, file):
    inputs = Input((None,), name="tokens")
    layers = [ConditionalRandomField(name=name) for name in ("one", "two")]
    outputs = [layer(scores(inputs, "scores-" + layer.name)) for layer in layers]
    model = keras.models.Model(inputs, outputs)
    if as_dict:
        losses = {layer.name: layer.sparse_loss for layer in layers}
        metrics = {layer.name: [layer.sparse_accuracy] for layer in layers}
    else:
        losses = [layer.sparse_loss for layer in layers]
        metrics = [[layer.sparse_accuracy] for layer in layers]
    model.compile("adam", loss=losses, metrics=metrics)
    model.fit(TOKENS, [TAGS, 3 - TAGS], verbose=0)
    loaded = saved_and_loaded(model, tmp_path / file)
    found = list(loaded.loss.values()) if as_dict else loaded.loss
    assert [method.__self__ for method in found] == [loaded.get_layer("one"), loaded.get_layer("two")]
    expected = results(model, [TAGS, 3 - TAGS])
    for key, value in results(loaded, [TAGS, 3 - TAGS]).items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-6)


def optimizers():
    from bert4keras3 import optimizers

    weight_decay = optimizers.extend_with_weight_decay(optimizers.Adam)
    schedule = optimizers.extend_with_piecewise_linear_lr(optimizers.Adam)
    return {
        "adam": lambda: "adam",
        "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
        "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.9)),
        "ours": lambda: optimizers.Adam(0.01),
        "lion": lambda: optimizers.LionV2(0.01),
        "adafactor": lambda: optimizers.AdaFactor(0.01),
        "weight-decay": lambda: weight_decay(0.01, weight_decay_rate=0.01),
        "piecewise": lambda: schedule(0.01, lr_schedule={2: 1, 4: 0}),
        "accumulation": lambda: optimizers.extend_with_gradient_accumulation(optimizers.Adam)(
            0.01, grad_accum_steps=2
        ),
        "moving-average": lambda: optimizers.extend_with_exponential_moving_average(optimizers.Adam)(
            0.01, ema_momentum=0.9
        ),
    }


NAMES = (
    ["adam", "sgd", "schedule", "ours", "lion", "adafactor", "weight-decay", "piecewise", "accumulation"]
    + ["moving-average"]
)  # fmt: skip


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_goes_on_where_it_stood(tmp_path, name, file):
    labels = np.eye(4)[TAGS]
    model = regression(optimizer=optimizers()[name]())
    model.fit(TOKENS, labels, epochs=3, verbose=0)
    loaded = saved_and_loaded(model, tmp_path / file)
    assert_equal_training(model, loaded, labels)


@pytest.mark.parametrize("file", FILES)
def test_a_model_that_was_not_trained_trains(tmp_path, file):
    model = regression()
    loaded = saved_and_loaded(model, tmp_path / file)
    assert_equal_training(model, loaded, np.eye(4)[TAGS])


LOSSES = {
    "a-name": "mse",
    "a-loss": keras.losses.CategoricalCrossentropy(from_logits=True, name="mine"),
    "ours": backend.multilabel_categorical_crossentropy,
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_loads(tmp_path, name, file):
    labels = np.eye(4)[TAGS]
    model = regression(
        loss=LOSSES[name], metrics=["accuracy", "mse", keras.metrics.MeanAbsoluteError(name="mae")]
    )
    model.fit(TOKENS, labels, verbose=0)
    expected = results(model, labels)
    found = results(saved_and_loaded(model, tmp_path / file), labels)
    assert set(found) == set(expected) and len(found) == 4
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-6)


@pytest.mark.parametrize("file", FILES)
def test_the_sparse_multilabel_loss_loads(tmp_path, file):
    model = regression(loss=backend.sparse_multilabel_categorical_crossentropy)
    labels = np.tile([1, 2], (2, 5, 1))
    model.fit(TOKENS, labels, verbose=0)
    expected = results(model, labels)["loss"]
    np.testing.assert_allclose(
        results(saved_and_loaded(model, tmp_path / file), labels)["loss"], expected, 1e-6
    )


@pytest.mark.parametrize("file", FILES)
def test_an_unknown_loss_is_an_error_that_says_what_to_do(tmp_path, file):
    def my_own_loss(y_true, y_pred):
        return backend.ops.mean(backend.ops.square(y_true - y_pred), axis=-1)

    model = regression(loss=my_own_loss)
    with pytest.raises(ValueError, match="my_own_loss.*custom_objects.*compile=False"):
        saved_and_loaded(model, tmp_path / file)
    loaded = keras.models.load_model(str(tmp_path / file), compile=False)
    np.testing.assert_array_equal(loaded.predict(TOKENS, verbose=0), model.predict(TOKENS, verbose=0))
    loaded = keras.models.load_model(str(tmp_path / file), custom_objects={"my_own_loss": my_own_loss})
    assert loaded.loss is my_own_loss


@pytest.mark.parametrize("file", FILES)
def test_a_method_of_no_layer_is_an_error_that_says_what_to_do(tmp_path, file):
    class Trainer:
        def loss_of_mine(self, y_true, y_pred):
            return backend.ops.mean(backend.ops.square(y_true - y_pred), axis=-1)

    with pytest.raises(ValueError, match="loss_of_mine.*compile=False"):
        saved_and_loaded(regression(loss=Trainer().loss_of_mine), tmp_path / file)


@pytest.mark.parametrize("file", FILES)
def test_a_method_of_a_users_layer_loads(tmp_path, file):
    class Scaled(keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

        def compute_output_shape(self, input_shape):
            return input_shape

        def scaled_loss(self, y_true, y_pred):
            return backend.ops.mean(backend.ops.square(y_true - y_pred), axis=-1) / 4

    inputs = Input((None,), name="tokens")
    layer = Scaled(name="scaled")
    model = keras.models.Model(inputs, layer(scores(inputs)))
    model.compile("adam", layer.scaled_loss)
    loaded = saved_and_loaded(model, tmp_path / file, custom_objects={"Scaled": Scaled})
    assert loaded.loss.__self__ is loaded.get_layer("scaled")
