"""`self.embeddings = …` in the call of a user's layer, as P-tuning does it: the tensor counts until the call ends."""

import threading

import numpy as np
import pytest
from small_models import SIZES

from bert4keras3 import layers
from bert4keras3.backend import FLAVOUR, K, framework, keras
from bert4keras3.models import BERT, build_transformer_model

pytestmark = pytest.mark.usefixtures("fresh_session")
Input, Model = keras.layers.Input, keras.models.Model
IDS = np.array([[5, 1, 2, 3, 0], [4, 7, 2, 6, 6]])
TRAINED = slice(1, 4)
KERAS_3 = pytest.mark.skipif(FLAVOUR != "keras3", reason="it is about Keras 3")


def partly_trained(weight):
    """The weight, of which a training changes the rows TRAINED; with an array of float64, as scripts write it."""
    mask = np.zeros((K.int_shape(weight)[0], 1))
    mask[TRAINED] = 1
    return weight * mask + K.stop_gradient(weight) * (1 - mask)


class PartlyTrained(layers.Embedding):
    def call(self, inputs, mode="embedding"):
        embeddings = self.embeddings
        self.embeddings = partly_trained(embeddings)
        outputs = super().call(inputs, mode)
        self.embeddings = embeddings
        return outputs


class PartlyTrainedBERT(BERT):
    def apply(self, inputs=None, layer=None, arguments=None, **kwargs):
        if layer is layers.Embedding and kwargs.get("name") == "Embedding-Token":
            layer = PartlyTrained
        return super().apply(inputs, layer, arguments, **kwargs)


class PartlyTrainedPositions(layers.PositionEmbedding):
    def call(self, inputs):
        embeddings = self.embeddings
        self.embeddings = partly_trained(embeddings)
        outputs = super().call(inputs)
        self.embeddings = embeddings
        return outputs


class Doubled(layers.Embedding):
    """Does not put the table back."""

    def call(self, inputs, mode="embedding"):
        self.embeddings = self.embeddings * 2.0
        return super().call(inputs, mode)


class DoubledNorm(layers.LayerNormalization):
    def call(self, inputs):
        gamma, beta = self.gamma, self.beta
        self.gamma, self.beta = gamma * 2.0, beta * 2.0
        outputs = super().call(inputs)
        self.gamma, self.beta = gamma, beta
        return outputs


class DoubledDense(layers.Dense):
    def call(self, inputs):
        kernel = self.kernel
        self.kernel = kernel * 2.0
        outputs = super().call(inputs)
        self.kernel = kernel
        return outputs


class DoubledConv1D(layers.Conv1D):
    def call(self, inputs):
        kernel = self.kernel
        self.kernel = kernel * 2.0
        outputs = super().call(inputs)
        self.kernel = kernel
        return outputs


def tied_model(kind):
    """ids → embeddings → scores of the vocabulary by the same table."""
    ids = Input(shape=(5,))
    layer = kind(8, 4)
    return layer, Model(ids, layer(layer(ids), mode="dense"))


def bert(model):
    return build_transformer_model(model=model, with_mlm="linear", **SIZES)


def train(model):
    """One step on everything that the model puts out."""
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
    inputs = [IDS, np.zeros_like(IDS)][: len(model.inputs)]
    inputs = inputs if len(inputs) > 1 else inputs[0]
    outputs = model.predict_on_batch(inputs)
    model.train_on_batch(inputs, np.cos(np.arange(outputs.size)).reshape(outputs.shape))


@pytest.mark.skipif(framework in ("numpy", "openvino"), reason="Keras does not train there")
@pytest.mark.parametrize(
    "make, name",
    [
        (lambda kind: tied_model(kind or layers.Embedding)[1], PartlyTrained),
        (lambda kind: bert(kind or BERT), PartlyTrainedBERT),
    ],
    ids=["embedding", "bert"],
)
def test_training_changes_the_chosen_rows_alone(make, name):
    plain, partly = make(None), make(name)
    partly.set_weights(plain.get_weights())
    before, place = plain.get_weights(), 0
    assert before[place].shape[0] in (8, SIZES["vocab_size"])
    train(plain)
    train(partly)
    expected = before[place].copy()
    expected[TRAINED] = plain.get_weights()[place][TRAINED]
    assert np.abs(expected - before[place])[TRAINED].min() > 0
    np.testing.assert_allclose(partly.get_weights()[place], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(framework in ("numpy", "openvino"), reason="Keras does not train there")
def test_training_changes_the_chosen_positions_alone():
    inputs = Input(shape=(5, 4))
    layer = PartlyTrainedPositions(6, 4)
    model = Model(inputs, layer(inputs))
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
    model.train_on_batch(np.zeros((2, 5, 4)), np.ones((2, 5, 4)))
    changed = layer.get_weights()[0].any(axis=1)
    assert changed.tolist() == [False, True, True, True, False, False]


def test_outputs_are_those_of_the_plain_model():
    plain, partly = bert(BERT), bert(PartlyTrainedBERT)
    partly.set_weights(plain.get_weights())
    inputs = [IDS, np.zeros_like(IDS)]
    np.testing.assert_allclose(
        partly.predict_on_batch(inputs), plain.predict_on_batch(inputs), rtol=1e-4, atol=1e-6
    )


def test_weights_load(tmp_path):
    saved, loaded = bert(PartlyTrainedBERT), bert(PartlyTrainedBERT)
    name = str(tmp_path / ("model.weights.h5" if FLAVOUR == "keras3" else "model.h5"))
    saved.save_weights(name)
    loaded.load_weights(name)
    for one, other in zip(loaded.get_weights(), saved.get_weights()):
        np.testing.assert_array_equal(one, other)


@KERAS_3
def test_whole_model_loads(tmp_path):
    partly = bert(PartlyTrainedBERT)
    partly.save(str(tmp_path / "model.keras"))
    custom = {"PartlyTrained": PartlyTrained}
    loaded = keras.models.load_model(str(tmp_path / "model.keras"), custom_objects=custom)
    inputs = [IDS, np.zeros_like(IDS)]
    np.testing.assert_array_equal(loaded.predict_on_batch(inputs), partly.predict_on_batch(inputs))


@pytest.mark.skipif(FLAVOUR == "tf_keras", reason="tf.keras moves a weight that is set again to the end")
@pytest.mark.parametrize(
    "kind, arguments, plain",
    [
        (DoubledDense, dict(units=3), layers.Dense),
        (DoubledConv1D, dict(filters=3, kernel_size=2), layers.Conv1D),
        (DoubledNorm, dict(), layers.LayerNormalization),
    ],
)
def test_other_weights_may_be_replaced(kind, arguments, plain):
    x = np.random.RandomState(0).normal(size=(2, 5, 4)).astype("float32")
    inputs = Input(shape=(5, 4))
    doubled = Model(inputs, kind(**arguments)(inputs))
    single = Model(inputs, plain(**arguments)(inputs))
    single.set_weights(doubled.get_weights())
    expected = 2 * single.predict_on_batch(x)
    for _ in range(2):
        np.testing.assert_allclose(doubled.predict_on_batch(x), expected, rtol=1e-5, atol=1e-6)


@KERAS_3
def test_scores_of_the_vocabulary_are_those_of_the_replaced_table():
    _, plain = tied_model(layers.Embedding)
    _, doubled = tied_model(Doubled)
    doubled.set_weights(plain.get_weights())
    expected = 4 * plain.predict_on_batch(IDS)
    for _ in range(2):  # and the table is not doubled again
        np.testing.assert_allclose(doubled.predict_on_batch(IDS), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(doubled(keras.ops.convert_to_tensor(IDS))),
            expected,
            rtol=1e-5,
            atol=1e-6,
        )


class Failing(layers.Embedding):
    fails = False

    def call(self, inputs, mode="embedding"):
        embeddings = self.embeddings
        self.embeddings = embeddings * 3.0
        if self.fails:
            raise RuntimeError("in between")
        outputs = super().call(inputs, mode)
        self.embeddings = embeddings
        return outputs


@KERAS_3
def test_failing_call_leaves_the_weight():
    layer = Failing(8, 4)
    ids = keras.ops.convert_to_tensor(IDS)
    expected = keras.ops.convert_to_numpy(layer(ids))
    layer.fails = True
    with pytest.raises(RuntimeError, match="in between"):
        layer(ids)
    layer.fails = False
    assert isinstance(layer.embeddings, keras.Variable)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(ids)), expected)


@KERAS_3
def test_threads_replace_one_weight_side_by_side():
    layer, ids, wrong = Doubled(8, 4), keras.ops.convert_to_tensor(IDS), []
    expected = keras.ops.convert_to_numpy(layer(ids))

    def call():
        for _ in range(20):
            wrong.append(not np.array_equal(keras.ops.convert_to_numpy(layer(ids)), expected))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 80 and not any(wrong)
    assert isinstance(layer.embeddings, keras.Variable)


class Made(layers.Embedding):
    """Makes its weight itself."""

    def build(self, input_shape):
        self.embeddings = self.add_weight(
            name="embeddings", shape=(self.input_dim, self.output_dim), initializer="ones"
        )
        self.built = True


def test_build_may_set_the_weight():
    ids = Input(shape=(5,))
    layer = Made(8, 4)
    model = Model(ids, layer(ids))
    assert [value.shape for value in layer.get_weights()] == [(8, 4)]
    assert (model.predict_on_batch(IDS) == 1).all()


@KERAS_3
def test_tensor_outside_of_call_is_refused():
    layer = layers.Embedding(8, 4)
    layer.build((None, 5))
    with pytest.raises(ValueError, match=r"layer\.embeddings\.assign\(value\)"):
        layer.embeddings = keras.ops.zeros((8, 4))
    assert isinstance(layer.embeddings, keras.Variable)
