"""Adversarial training and gradient penalty against what can be computed by hand for a linear model."""

import numpy as np
import pytest

from bert4keras3.backend import K, get_values, keras
from bert4keras3.gradients import adversarial_training, gradient_penalty, gradients
from bert4keras3.layers import Embedding

TABLE = np.array([[0.5, -1.0], [2.0, 1.0], [1.0, 3.0]], "float32")
IDS = np.array([[1.0], [2.0]], "float32")
TARGETS = np.array([[[1.0, 1.0]], [[0.0, 2.0]]], "float32")
RATE = 0.1


def embedding_model():
    """The loss is the mean over 4 numbers of (table − target)²; its gradient by a used row (row − target) / 2."""
    x = keras.layers.Input((1,), dtype="float32")
    model = keras.models.Model(x, Embedding(3, 2, name="Embedding-Token")(x))
    model.get_layer("Embedding-Token").set_weights([TABLE])
    model.compile(keras.optimizers.SGD(RATE), "mse")
    return model


def gradient_at(table):
    gradient = np.zeros_like(TABLE)
    gradient[1:] = (table[1:] - TARGETS[:, 0]) / 2
    return gradient


def trained_table(model, loss=None):
    result = np.ravel(model.train_on_batch(IDS, TARGETS))[0]
    if loss is not None:
        np.testing.assert_allclose(result, loss, rtol=1e-5)
    return get_values(model.get_layer("Embedding-Token").weights)[0]


def test_step_is_made_at_the_perturbed_table(fresh_session):
    model = embedding_model()
    adversarial_training(model, "Embedding-Token", 0.5)
    gradient = gradient_at(TABLE)
    perturbed = TABLE + 0.5 * gradient / np.sqrt((gradient**2).sum())
    loss = ((perturbed[1:] - TARGETS[:, 0]) ** 2).mean()
    np.testing.assert_allclose(
        trained_table(model, loss), TABLE - RATE * gradient_at(perturbed), rtol=1e-5, atol=1e-6
    )


def test_penalty_of_the_gradient_is_trained(fresh_session):
    model = embedding_model()
    gradient_penalty(model, "Embedding-Token", 3.0)
    gradient = gradient_at(TABLE)
    loss = ((TABLE[1:] - TARGETS[:, 0]) ** 2).mean() + 1.5 * (gradient**2).sum()
    expected = TABLE - RATE * (gradient + 3 * gradient / 2)  # the gradient's own derivative is 1 / 2
    np.testing.assert_allclose(trained_table(model, loss), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("helper", [adversarial_training, gradient_penalty])
def test_fit_trains_on(helper, fresh_session):
    model = embedding_model()
    helper(model, "Embedding-Token", 0.1)
    history = model.fit(IDS, TARGETS, epochs=20, verbose=0)
    assert history.history["loss"][-1] < 0.6 * history.history["loss"][0]


@pytest.mark.parametrize("helper", [adversarial_training, gradient_penalty])
def test_model_with_dropout_trains_on(helper, fresh_session):
    x = keras.layers.Input((1,), dtype="float32")
    outputs = keras.layers.Dropout(0.1)(Embedding(3, 2, name="Embedding-Token")(x))
    model = keras.models.Model(x, outputs)
    model.compile(keras.optimizers.SGD(RATE), "mse")
    helper(model, "Embedding-Token", 0.1)
    before = model.evaluate(IDS, TARGETS, verbose=0)
    model.fit(IDS, TARGETS, epochs=30, verbose=0)
    assert model.evaluate(IDS, TARGETS, verbose=0) < 0.8 * before


@pytest.mark.parametrize("helper", [adversarial_training, gradient_penalty])
def test_evaluation_stays_as_it_is(helper, fresh_session):
    model = embedding_model()
    helper(model, "Embedding-Token", 0.1)
    loss = ((TABLE[1:] - TARGETS[:, 0]) ** 2).mean()
    np.testing.assert_allclose(model.evaluate(IDS, TARGETS, verbose=0), loss, rtol=1e-5)


def test_gradients_are_those_of_the_function(fresh_session):
    model = embedding_model()
    table = model.get_layer("Embedding-Token").trainable_weights[0]
    (found,) = gradients(lambda: K.sum(K.square(model(K.constant(IDS)))), [table])
    np.testing.assert_allclose(found, np.concatenate([np.zeros((1, 2)), 2 * TABLE[1:]]), rtol=1e-5)


def test_layer_without_weights_is_named(fresh_session):
    model = embedding_model()
    model.get_layer("Embedding-Token").trainable = False
    with pytest.raises(ValueError, match="Embedding-Token"):
        adversarial_training(model, "Embedding-Token")
