"""Layers that users write as for bert4keras: masks go on, and layers inside have weights before any data passes."""

import numpy as np
import pytest

from bert4keras3 import layers
from bert4keras3.backend import FLAVOUR, framework, keras

pytestmark = [
    pytest.mark.usefixtures("fresh_session"),
    pytest.mark.skipif(
        framework in ("numpy", "openvino"), reason="Keras makes no layers without numbers there"
    ),
]
STARS = {}
exec("from bert4keras3.models import *", STARS)
Input, Model = keras.layers.Input, keras.models.Model
BASES = {"bert4keras3": layers.Layer, "keras": keras.layers.Layer}
X = np.random.RandomState(0).normal(size=(2, 4, 5)).astype("float32")
IDS = np.array([[3, 1, 2, 0, 0], [4, 4, 0, 0, 0]], dtype="int32")
KERAS_3 = pytest.mark.skipif(FLAVOUR != "keras3", reason="it is about Keras 3")


def head_class(base, place, has_shape):
    """A head whose Dense layers are made in this place, with or without its own `compute_output_shape`."""

    class Head(base):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            if place == "init":
                self.dense = layers.Dense(3)

        def build(self, input_shape):
            super().build(input_shape)
            if place == "build":
                self.dense = layers.Dense(3)
            if place == "list":
                self.dense = [layers.Dense(4), layers.Dense(3)]
            if place == "dict":
                self.dense = {"in": layers.Dense(4), "out": layers.Dense(3)}
            if place == "wrapper":
                self.dense = layers.TimeDistributed(layers.Dense(3))
            if place == "bidirectional":
                self.dense = layers.Bidirectional(
                    layers.SimpleRNN(3, return_sequences=True), merge_mode="sum"
                )

        def call(self, inputs, mask=None):
            if place == "call" and not hasattr(self, "dense"):
                self.dense = layers.Dense(3)
            if place in ("list", "dict"):
                first, last = self.dense.values() if place == "dict" else self.dense
                return last(first(inputs))
            return self.dense(inputs)

    if has_shape:
        Head.compute_output_shape = lambda self, input_shape: tuple(input_shape[:-1]) + (3,)
    return Head


WEIGHTS = {"init": 2, "build": 2, "call": 2, "wrapper": 2, "bidirectional": 6, "list": 4, "dict": 4}
if FLAVOUR == "keras2":  # which does not look into lists
    WEIGHTS = {place: count for place, count in WEIGHTS.items() if place not in ("list", "dict")}
HEADS = [
    (base, place, has_shape)
    for base in BASES
    for place in WEIGHTS
    for has_shape in (True, False)
    # keras 2.3.1 takes the shape of the inputs for the shape of the outputs
    if has_shape or FLAVOUR != "keras2"
]

SHAPED = [(base, place) for base, place, has_shape in HEADS if has_shape]


def build(base, place, has_shape=True):
    inputs = Input(shape=(4, 5))
    head = head_class(BASES[base], place, has_shape)(name="head")
    return head, Model(inputs, head(inputs))


@pytest.mark.parametrize("base, place, has_shape", HEADS)
def test_layers_inside_have_weights_before_data(base, place, has_shape):
    head, model = build(base, place, has_shape)
    assert len(head.get_weights()) == len(model.get_weights()) == WEIGHTS[place]
    assert model.count_params() == sum(value.size for value in head.get_weights())


@pytest.mark.parametrize("base, place", SHAPED)
def test_layers_inside_load_before_data(base, place, tmp_path):
    _, model = build(base, place)
    name = str(tmp_path / ("model.weights.h5" if FLAVOUR == "keras3" else "model.h5"))
    model.save_weights(name)
    expected = model.predict_on_batch(X)
    _, fresh = build(base, place)
    fresh.load_weights(name)
    np.testing.assert_array_equal(fresh.predict_on_batch(X), expected)


@KERAS_3
@pytest.mark.parametrize("base, place", SHAPED)
def test_layers_inside_load_with_the_whole_model(base, place, tmp_path):
    head, model = build(base, place)
    model.save(str(tmp_path / "model.keras"))
    loaded = keras.models.load_model(str(tmp_path / "model.keras"), custom_objects={"Head": type(head)})
    np.testing.assert_array_equal(loaded.predict_on_batch(X), model.predict_on_batch(X))


@KERAS_3
@pytest.mark.parametrize("base, place, has_shape", HEADS)
def test_layers_inside_a_wrapped_layer_have_weights_before_data(base, place, has_shape):
    inputs = Input(shape=(7, 4, 5))
    wrapped = layers.TimeDistributed(head_class(BASES[base], place, has_shape)())
    outputs = wrapped(inputs)
    assert tuple(outputs.shape) == (None, 7, 4, 3)
    assert len(Model(inputs, outputs).get_weights()) == WEIGHTS[place]


@pytest.mark.parametrize("place", ["build", "call"])
def test_layers_inside_are_trained(place):
    head, model = build("bert4keras3", place, True)
    before = head.get_weights()
    model.compile(optimizer="sgd", loss="mse")
    model.fit(X, X[..., :3], verbose=0)
    assert all(not np.array_equal(old, new) for old, new in zip(before, head.get_weights()))


class Ordered(layers.Layer):
    """Weights of its own and of layers inside, trained and not, made in turns."""

    def build(self, input_shape):
        super().build(input_shape)
        self.first = layers.Dense(3)
        self.kernel = self.add_weight(name="kernel", shape=(7,), initializer="zeros")
        self.norm = layers.BatchNormalization()
        self.state = self.add_weight(name="state", shape=(9,), initializer="zeros", trainable=False)
        self.last = layers.Dense(4, use_bias=False)

    def call(self, inputs, mask=None):
        return self.last(self.norm(self.first(inputs)))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[:-1]) + (4,)


class Nested(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.ordered = Ordered()
        self.rnn = layers.Bidirectional(layers.LSTM(2, return_sequences=True))
        self.dense = layers.TimeDistributed(layers.Dense(11))

    def call(self, inputs, mask=None):
        return self.ordered(self.dense(self.rnn(inputs)))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[:-1]) + (4,)


# shapes of get_weights() with bert4keras 0.11.5 on keras 2.3.1
ORDERED = "7 5x3 3 3 3 3x4 9 3 3"
NESTED = "7 11x3 3 3 3 3x4 5x8 2x8 8 5x8 2x8 8 4x11 11 9 3 3"


@pytest.mark.parametrize("layer, expected", [(Ordered, ORDERED), (Nested, NESTED)])
def test_weights_stand_in_the_order_of_keras_2(layer, expected):
    inputs = Input(shape=(4, 5))
    made = layer()
    model = Model(inputs, made(inputs))
    assert " ".join("x".join(map(str, value.shape)) for value in made.get_weights()) == expected
    assert [value.shape for value in model.get_weights()] == [value.shape for value in made.get_weights()]


def test_set_weights_takes_the_order_of_keras_2():
    inputs = Input(shape=(4, 5))
    made = Ordered()
    Model(inputs, made(inputs))
    values = [np.full(value.shape, place, "float32") for place, value in enumerate(made.get_weights())]
    made.set_weights(values)
    beta, mean = [keras.backend.get_value(one) for one in (made.norm.beta, made.norm.moving_mean)]
    assert (beta == 4).all() and (mean == 7).all()


class DoubledOnly:
    """What scripts write at the least: no `compute_mask`, no `compute_output_shape`."""

    def build(self, input_shape):
        super().build(input_shape)
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],), initializer="ones")

    def call(self, inputs):
        return inputs * 2.0 * self.scale


class DoubledWithMask(DoubledOnly):
    def call(self, inputs, mask=None):
        assert mask is not None
        return inputs * 2.0 * self.scale

    def compute_mask(self, inputs, mask=None):
        return super().compute_mask(inputs, mask=mask)

    def compute_output_shape(self, input_shape):
        return list(input_shape)


@pytest.mark.parametrize("written", [DoubledOnly, DoubledWithMask])
@pytest.mark.parametrize("base", [layers.Layer, STARS["Layer"]], ids=["layers", "models"])
def test_exported_layer_passes_the_mask_on(base, written):
    doubled = type("Doubled", (written, base), {})()
    embedding = layers.Embedding(7, 4, mask_zero=True)
    ids = Input(shape=(None,))
    pooled = layers.GlobalAveragePooling1D()(doubled(embedding(ids)))
    found = Model(ids, pooled).predict_on_batch(IDS)
    table = 2 * embedding.get_weights()[0]
    expected = [table[[3, 1, 2]].mean(axis=0), table[[4, 4]].mean(axis=0)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("base", [layers.Layer, STARS["Layer"]], ids=["layers", "models"])
def test_exported_layer_supports_masking(base):
    assert base().supports_masking is True
    assert issubclass(layers.FeedForward, base) and base is not keras.layers.Layer


@KERAS_3
def test_shape_of_a_layer_without_compute_output_shape_is_found():
    head = head_class(layers.Layer, "build", False)()
    assert tuple(head.compute_output_shape((None, 4, 5))) == (None, 4, 3)


@KERAS_3
def test_layer_without_own_shape_keeps_the_dtype_of_its_outputs():
    class Ids(layers.Layer):
        def call(self, inputs):
            return keras.ops.argmax(inputs, axis=-1)

    outputs = Ids()(Input(shape=(4, 5)))
    assert outputs.dtype == "int32" and tuple(outputs.shape) == (None, 4)


@KERAS_3
def test_losses_of_the_call_without_numbers_do_not_stay():
    class Penalty(layers.Layer):
        def build(self, input_shape):
            self.dense = layers.Dense(3)

        def call(self, inputs):
            self.add_loss(keras.ops.mean(inputs))
            return self.dense(inputs)

        def compute_output_shape(self, input_shape):
            return input_shape[:-1] + (3,)

    inputs = Input(shape=(4, 5))
    layer = Penalty()
    model = Model(inputs, layer(inputs))
    assert layer.losses == []
    model.compile(optimizer="sgd", loss="mse")
    loss = model.evaluate(X, model.predict_on_batch(X), verbose=0)
    np.testing.assert_allclose(loss, X.mean(), rtol=1e-4, atol=1e-6)
