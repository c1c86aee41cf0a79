"""Optimizers and extensions in `fit`, on every Keras, with sparse gradients and with optimizers of Keras's own."""

import numpy as np
import pytest

from bert4keras3 import optimizers
from bert4keras3.backend import FLAVOUR, K, get_custom_objects, get_values, keras

# From TensorFlow 2.11 to 2.15 the optimizers with slots are the legacy ones.
KERAS = getattr(keras.optimizers, "legacy", keras.optimizers) if FLAVOUR == "tf_keras" else keras.optimizers
on_keras_2 = pytest.mark.skipif(FLAVOUR == "keras3", reason="test_optimizers.py has it for Keras 3")
COUNTS = pytest.mark.skipif(
    FLAVOUR == "keras2", reason="the graph of keras 2.3.1 leaves it to chance which count a step has"
)
TOKENS = np.random.RandomState(0).randint(1, 8, (24, 3))
TARGETS = np.random.RandomState(1).normal(size=(24, 1)).astype("float32")
UNUSED = 0  # a token that no text has


def make_model(optimizer):
    tokens = keras.layers.Input((3,))
    x = keras.layers.Embedding(8, 4, name="Embedding-Token")(tokens)
    model = keras.models.Model(tokens, keras.layers.Dense(1, name="Dense")(keras.layers.Flatten()(x)))
    model.compile(optimizer, "mse")
    return model


def make_linear_model(optimizer):
    """A model whose gradient is the same whatever its weights are."""
    tokens = keras.layers.Input((3,))
    x = keras.layers.Embedding(8, 1, name="Embedding-Token")(tokens)
    model = keras.models.Model(tokens, keras.layers.GlobalAveragePooling1D()(x))
    model.compile(optimizer, lambda true, predicted: true * predicted)
    return model


def weights_of_fit(model, batch_size=4, tokens=TOKENS):
    """Weights of a model before `fit` and after each batch of it."""
    seen = [model.get_weights()]
    batches = keras.callbacks.LambdaCallback(
        on_batch_end=lambda batch, logs: seen.append(model.get_weights())
    )
    model.fit(tokens, TARGETS, batch_size, shuffle=False, verbose=0, callbacks=[batches])
    return seen


def test_moving_average_counts_each_batch_once():
    optimizer = optimizers.extend_with_exponential_moving_average(optimizers.Adam)(0.1, ema_momentum=0.5)
    model = make_model(optimizer)
    seen = weights_of_fit(model)[1:]
    factors = 0.5 ** np.arange(len(seen), 0, -1)
    optimizer.apply_ema_weights()
    for i, average in enumerate(model.get_weights()):
        expected = sum(factor * weights[i] for factor, weights in zip(factors, seen)) / (1 - 0.5 ** len(seen))
        np.testing.assert_allclose(average, expected, rtol=1e-4, atol=1e-6)
    optimizer.reset_old_weights()
    for one, other in zip(model.get_weights(), seen[-1]):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("base", ["SGD", "Adam", "RMSprop"])
def test_rows_without_gradient_only_decay(base):
    made = optimizers.extend_with_weight_decay(getattr(KERAS, base))
    seen = weights_of_fit(make_model(made(0.1, weight_decay_rate=0.5, exclude_from_weight_decay=["Dense"])))
    rows = np.array([weights[0][UNUSED] for weights in seen])
    expected = rows[0] * 0.95 ** np.arange(len(rows))[:, None]
    np.testing.assert_allclose(rows, expected, rtol=1e-5)


@pytest.mark.parametrize("base", ["SGD", "RMSprop"])
def test_excluded_weights_do_not_decay(base):
    made = optimizers.extend_with_weight_decay(getattr(KERAS, base))
    model, plain = (
        make_model(made(0.1, exclude_from_weight_decay=[""])),
        make_model(getattr(KERAS, base)(0.1)),
    )
    plain.set_weights(model.get_weights())
    # each token once in a batch: on TensorFlow, Keras's RMSprop squares the parts of a row's gradient one by one
    tokens = np.argsort(np.random.RandomState(0).rand(len(TARGETS), 7), axis=1)[:, :3] + 1
    model, plain = (weights_of_fit(one, batch_size=1, tokens=tokens) for one in (model, plain))
    for one, other in zip(model[-1], plain[-1]):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_lazy_rows_stay_while_their_momentum_goes_on():
    made = optimizers.extend_with_lazy_optimization(KERAS.Adam)
    seen = weights_of_fit(make_model(made(0.1, include_in_lazy_optimization=["Embedding"])), batch_size=1)
    for i, (before, after) in enumerate(zip(seen, seen[1:])):
        moved = np.flatnonzero((before[0] != after[0]).any(axis=1))
        np.testing.assert_array_equal(moved, np.unique(TOKENS[i]))


@COUNTS
def test_accumulating_optimizer_of_keras_waits_with_its_slots():
    """A step with no gradient yet, then one for every second batch with the mean of two."""
    made = optimizers.extend_with_gradient_accumulation(KERAS.SGD)
    parts = make_linear_model(made(0.1, momentum=0.9, grad_accum_steps=2))
    whole = make_linear_model(KERAS.SGD(0.1, momentum=0.9))
    whole.set_weights(parts.get_weights())
    steps, twice = weights_of_fit(whole, 8), weights_of_fit(parts, 4)
    for batch, weights in enumerate(twice[1:]):
        for one, other in zip(weights, steps[batch // 2]):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clip", [{"clipnorm": 0.5}, {"clipvalue": 0.01}])
def test_gradients_are_clipped_before_anything_else(clip):
    made = optimizers.extend_with_parameter_wise_lr(KERAS.SGD)
    model = make_model(made(1.0, paramwise_lr_schedule={"Embedding": 2, "Dense": 2}, **clip))
    plain = make_model(KERAS.SGD(2.0, **clip))
    plain.set_weights(model.get_weights())
    for one, other in zip(weights_of_fit(model)[-1], weights_of_fit(plain)[-1]):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@on_keras_2
@pytest.mark.parametrize("name", ["AdaFactor", "Lion", "extended"])
def test_saved_model_goes_on_with_its_optimizer(tmp_path, name):
    made = optimizers.extend_with_weight_decay(optimizers.Adam, "AdamWOfThisTest")
    made = {"extended": optimizers.extend_with_piecewise_linear_lr(made)}.get(name) or getattr(
        optimizers, name
    )
    arguments = dict(weight_decay_rate=0.5, lr_schedule={5: 1}) if name == "extended" else {}
    model = make_model(made(learning_rate=0.01, **arguments))
    weights_of_fit(model)
    path = str(tmp_path / "model.h5")
    model.save(path)
    again = keras.models.load_model(path)
    assert type(again.optimizer) is made
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert len(again.optimizer.weights) > len(model.weights)
    for one, other in zip(get_values(again.optimizer.weights), get_values(model.optimizer.weights)):
        np.testing.assert_array_equal(one, other)
    weights_of_fit(again)


@on_keras_2
def test_an_extension_of_the_users_own_sees_each_assignment_once():
    """Such an extension replaces `K.update`, as those of bert4keras do."""
    counts = []

    def watched(step, weights):
        seen, before = [], K.update

        def update(x, new):
            seen.extend(one for one in weights if one is x)
            return before(x, new)

        K.update = update
        try:
            return step()
        finally:
            K.update = before
            counts.append(len(seen) / len(weights))

    class Watching(optimizers.extend_with_weight_decay(optimizers.Adam)):
        if FLAVOUR == "keras2":

            def get_updates(self, loss, params):
                step = super().get_updates
                return watched(lambda: step(loss=loss, params=params), params)

        else:

            def _resource_apply_dense(self, grad, var):
                step = super()._resource_apply_dense
                return watched(lambda: step(grad, var), [var])

    make_model(Watching(0.1)).train_on_batch(TOKENS[:4], TARGETS[:4])
    assert set(counts) == {1}


@on_keras_2
def test_name_is_among_custom_objects():
    made = optimizers.extend_with_lookahead(optimizers.Adam, name="Slow")
    assert made.__name__ == "Slow" and get_custom_objects()["Slow"] is made
    assert optimizers.extend_with_lookahead(optimizers.Adam).__name__ == "AdamWithLookahead"


@on_keras_2
def test_a_wrong_class_is_an_error():
    with pytest.raises(TypeError, match="expected a class of optimizers"):
        optimizers.extend_with_weight_decay(keras.layers.Dense)
    made = optimizers.extend_with_weight_decay(optimizers.Adam)
    with pytest.raises(TypeError, match="has WeightDecay already"):
        optimizers.extend_with_weight_decay(made)


@on_keras_2
def test_there_is_no_average_before_the_first_step():
    made = optimizers.extend_with_exponential_moving_average(optimizers.Adam)
    with pytest.raises(ValueError, match="train for a step first"):
        made().apply_ema_weights()
    with pytest.raises(ValueError, match="call apply_ema_weights first"):
        made().reset_old_weights()


@pytest.mark.skipif(FLAVOUR != "keras2", reason="it exists elsewhere")
def test_what_is_for_tf_keras_says_so():
    with pytest.raises(TypeError, match="Write extend_with_piecewise_linear_lr, or set TF_KERAS=1"):
        optimizers.extend_with_piecewise_linear_lr_v2(optimizers.Adam)
