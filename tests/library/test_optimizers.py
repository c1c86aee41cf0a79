"""Laws that hold for optimizers whatever the numbers are, and how they are composed, saved and used."""

import subprocess
import sys

import numpy as np
import pytest

from bert4keras3.backend import get_custom_objects, get_values, keras, ops

if not hasattr(keras, "ops"):
    pytest.skip("optimizers are for Keras 3 alone", allow_module_level=True)

from bert4keras3.optimizers import (  # noqa: E402
    AdaFactor,
    Adam,
    Lion,
    export_to_custom_objects,
    extend_with_exponential_moving_average,
    extend_with_gradient_accumulation,
    extend_with_layer_adaptation,
    extend_with_lazy_optimization,
    extend_with_lookahead,
    extend_with_parameter_wise_lr,
    extend_with_piecewise_linear_lr,
    extend_with_piecewise_linear_lr_v2,
    extend_with_weight_decay,
)

AdamW = extend_with_weight_decay(Adam, "AdamW")
AdamWLR = extend_with_piecewise_linear_lr(AdamW, "AdamWLR")
AdamEMA = extend_with_exponential_moving_average(Adam, "AdamEMA")
AdamOfAll = extend_with_layer_adaptation(
    extend_with_gradient_accumulation(
        extend_with_lazy_optimization(
            extend_with_lookahead(
                extend_with_parameter_wise_lr(extend_with_exponential_moving_average(AdamWLR))
            )
        )
    ),
    "AdamOfAll",
)
MAKERS = {
    "adam": lambda: Adam(1e-2),
    "lion": lambda: Lion(1e-3),
    "adafactor": lambda: AdaFactor(None, beta1=0.9, min_dim_size_to_factor=4),
    "published": lambda: AdamWLR(
        learning_rate=1e-2,
        weight_decay_rate=0.01,
        exclude_from_weight_decay=["Norm", "bias"],
        lr_schedule={2: 1, 20: 0.01},
        bias_correction=False,
    ),
    "keras": lambda: extend_with_weight_decay(keras.optimizers.Adam)(1e-2, weight_decay_rate=0.1),
    "all": lambda: AdamOfAll(
        1e-2,
        lr_schedule={2: 1, 20: 0.01},
        paramwise_lr_schedule={"Embedding": 2},
        include_in_lazy_optimization=["Embedding"],
        grad_accum_steps=2,
        ema_momentum=0.9,
        clipnorm=1.0,
    ),
}

RANDOM = np.random.RandomState(0)
TOKENS, TARGETS = RANDOM.randint(0, 12, (48, 5)), RANDOM.normal(size=(48, 1)).astype("float32")


def make_model(optimizer, model_class=None, **compile_arguments):
    keras.utils.set_random_seed(0)
    tokens = keras.layers.Input((5,))
    x = keras.layers.Embedding(16, 8, name="Embedding-Token")(tokens)
    x = keras.layers.LayerNormalization(name="Embedding-Norm")(x)
    x = keras.layers.Dense(1, name="Dense")(keras.layers.Flatten()(x))
    model = (model_class or keras.models.Model)(tokens, x)
    model.compile(optimizer, "mse", **compile_arguments)
    return model


def fit(model, batch_size=8, first=0, last=48, **arguments):
    x, y = TOKENS[first:last], TARGETS[first:last]
    return model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, **arguments)


def stepped(optimizer, gradients, path="kernel"):
    """Values of one variable that begins as ones, after each step with these gradients."""
    variable = keras.Variable(np.ones_like(gradients[0]), name=path)
    optimizer.build([variable])
    values = []
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
        values += get_values([variable])
    return np.array(values)


def test_accumulated_batches_equal_one():
    """A model's first step, one batch later: the first batch finds nothing in the sum."""
    whole = make_model(keras.optimizers.SGD(0.1))
    fit(whole, batch_size=8, last=8)
    parts = make_model(extend_with_gradient_accumulation(keras.optimizers.SGD)(0.1, grad_accum_steps=4))
    fit(parts, batch_size=2, last=10)
    for one, other in zip(get_values(whole.weights), get_values(parts.weights)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_accumulated_gradients_equal_their_mean_in_every_step():
    gradients = RANDOM.normal(size=(21, 6)).astype("float32")
    accumulating = extend_with_gradient_accumulation(AdamW)
    options = dict(learning_rate=1e-2, bias_correction=False)
    parts = stepped(accumulating(grad_accum_steps=4, **options), gradients)
    means = gradients[:20].reshape(5, 4, 6).mean(axis=1)
    whole = stepped(AdamW(**options), np.concatenate([np.zeros((1, 6), "float32"), means]))
    for step, values in enumerate(parts):
        np.testing.assert_allclose(values, whole[step // 4], rtol=1e-5)


def test_moving_average_equals_its_closed_form():
    gradients = RANDOM.normal(size=(20, 3)).astype("float32")
    optimizer = AdamEMA(1e-1, ema_momentum=0.8)
    values = stepped(optimizer, gradients)
    factors = 0.2 * 0.8 ** np.arange(len(values))[::-1]
    expected = (factors[:, None] * values).sum(0) / (1 - 0.8 ** len(values))
    optimizer.apply_ema_weights()
    (variable,) = optimizer._trainable_variables
    np.testing.assert_allclose(get_values([variable])[0], expected, rtol=1e-5)
    optimizer.reset_old_weights()
    np.testing.assert_array_equal(get_values([variable])[0], values[-1])
    optimizer.apply_ema_weights(bias_correction=False)
    np.testing.assert_allclose(get_values([variable])[0], expected * (1 - 0.8 ** len(values)), rtol=1e-5)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_rate_equals_the_schedule_at_every_step(version):
    extend = extend_with_piecewise_linear_lr if version == "v1" else extend_with_piecewise_linear_lr_v2
    optimizer = extend(keras.optimizers.SGD)(0.5, lr_schedule={"4": 1, 10: 0.1})
    values = stepped(optimizer, np.ones((15, 2), "float32"))
    rates = -np.diff(np.concatenate([np.ones((1, 2)), values]), axis=0)
    expected = 0.5 * np.interp(np.arange(15), [0, 4, 10], [0, 1, 0.1])
    np.testing.assert_allclose(rates, expected[:, None] * np.ones((1, 2)), atol=3e-7)
    assert float(get_values([optimizer.learning_rate])[0]) == 0.5


def test_lookahead_moves_to_slow_weights_at_every_kth_step():
    gradients = RANDOM.normal(size=(7, 3)).astype("float32")
    optimizer = extend_with_lookahead(keras.optimizers.SGD)(
        0.1, steps_per_slow_update=3, slow_step_size=0.25, slow_from_weights=True
    )
    values, fast, slow = stepped(optimizer, gradients), np.ones(3), np.ones(3)
    for step, gradient in enumerate(gradients):
        fast = fast - 0.1 * gradient
        if step % 3 == 0:
            fast = slow = slow + 0.25 * (fast - slow)
        np.testing.assert_allclose(values[step], fast, rtol=1e-5)


def test_lookahead_of_the_reference_begins_with_zeros():
    values = stepped(extend_with_lookahead(keras.optimizers.SGD)(0.1), np.zeros((1, 3), "float32"))
    np.testing.assert_allclose(values, 0.5)


@pytest.mark.parametrize(
    "name",
    [name if name in ("published", "all") else pytest.param(name, marks=pytest.mark.slow) for name in MAKERS],
)
def test_training_continues_bit_for_bit_from_a_file(tmp_path, name):
    whole, begun = make_model(MAKERS[name]()), make_model(MAKERS[name]())
    fit(whole, last=24)
    fit(begun, last=24)
    begun.save(str(tmp_path / "begun.keras"))
    loaded = keras.models.load_model(str(tmp_path / "begun.keras"))
    assert type(loaded.optimizer).__name__ == type(whole.optimizer).__name__
    assert loaded.optimizer.get_config() == begun.optimizer.get_config()
    for model in (whole, loaded):
        fit(model, first=24)
    for one, other in zip(whole.weights, loaded.weights):
        np.testing.assert_array_equal(get_values([one]), get_values([other]))
    for one, other in zip(whole.optimizer.variables, loaded.optimizer.variables):
        np.testing.assert_array_equal(get_values([one]), get_values([other]))


def test_training_continues_bit_for_bit_from_variables():
    whole = make_model(MAKERS["all"]())
    fit(whole, last=24)
    weights, variables = whole.get_weights(), get_values(whole.optimizer.variables)
    other = make_model(MAKERS["all"]())
    other.optimizer.build(other.trainable_variables)
    other.set_weights(weights)
    other.optimizer.set_weights(variables)
    for model in (whole, other):
        fit(model, first=24)
    for one, two in zip(whole.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(one, two)


def test_a_saved_composition_loads_where_it_was_never_composed(tmp_path):
    model = make_model(MAKERS["all"]())
    fit(model, last=16)
    path = str(tmp_path / "model.keras")
    model.save(path)
    code = (
        "import sys, bert4keras3.optimizers\n"
        "from bert4keras3.backend import keras\n"
        "optimizer = keras.models.load_model(sys.argv[1]).optimizer\n"
        "print(type(optimizer).__name__, optimizer.grad_accum_steps, optimizer.lr_schedule, optimizer.composition)"
    )
    output = subprocess.check_output([sys.executable, "-c", code, path]).decode()
    assert output.split("\n")[-2] == f"AdamOfAll 2 {{2: 1, 20: 0.01}} {AdamOfAll.composition}"


def test_a_composed_class_is_found_by_its_name():
    assert get_custom_objects()["AdamWLR"] is AdamWLR
    assert type(keras.optimizers.get("AdamWLR")) is AdamWLR
    assert extend_with_piecewise_linear_lr(AdamW, "AdamWLR") is AdamWLR
    # Keras's own keep their names
    assert type(keras.optimizers.get("AdamW")).__module__.startswith("keras")
    assert type(keras.optimizers.get({"class_name": "AdamW", "config": {}})).__module__.startswith("keras")


def test_extensions_of_the_users_own_are_composed_too():
    @export_to_custom_objects
    def extend_with_sign(BaseOptimizer):
        class NewOptimizer(BaseOptimizer):
            def changes(self, gradients, variables, learning_rate):
                return super().changes([ops.sign(one) for one in gradients], variables, learning_rate)

        return NewOptimizer

    optimizer = extend_with_sign(AdamW, "SignAdam")(weight_decay_rate=0.5)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is type(optimizer) and again.weight_decay_rate == 0.5


def test_what_cannot_be_extended_is_refused():
    with pytest.raises(TypeError, match="has WeightDecay already"):
        extend_with_weight_decay(AdamWLR)
    with pytest.raises(TypeError, match="expected a class of optimizers"):
        extend_with_weight_decay(Adam())
    with pytest.raises(ValueError, match="amsgrad"):
        Adam(amsgrad=True)
    with pytest.raises(ValueError, match="no extension of this name"):
        AdamW.from_config({"composition": ["bert4keras3>Adam", ["extend_with_luck", "A"]]})


def test_names_are_found_in_the_paths_of_variables():
    model = make_model(MAKERS["published"]())
    fit(model, last=8)
    decayed = [
        variable.path
        for variable in model.trainable_variables
        if model.optimizer._is_decayed[model.optimizer._get_variable_index(variable)]
    ]
    assert decayed == ["Embedding-Token/embeddings", "Dense/kernel"]


def test_a_variable_without_gradient_keeps_its_weights_and_its_average():
    used, unused = keras.Variable(np.ones(2)), keras.Variable(np.ones(2))
    optimizer = extend_with_exponential_moving_average(AdamW)(0.1, weight_decay_rate=0.5)
    optimizer.build([used, unused])
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([ops.ones(2), None], [used, unused])
    optimizer.apply_ema_weights()
    np.testing.assert_allclose(get_values([unused])[0], 1, rtol=1e-6)
    assert (get_values([used])[0] < 1).all()


def test_a_step_with_infinite_gradients_is_no_step():
    optimizer = MAKERS["all"]()
    model = make_model(keras.optimizers.LossScaleOptimizer(optimizer), auto_scale_loss=False)
    before = model.get_weights()
    model.fit(TOKENS[:8], np.full((8, 1), np.inf), verbose=0)
    for one, two in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, two)
    assert int(get_values([optimizer.iterations])[0]) == 0


class Averaged:
    """A callback that swaps the average in and out, by the optimizer alone."""

    def __new__(cls, optimizer, **hooks):
        seen = []

        class Callback(keras.callbacks.Callback):
            def swap(self):
                optimizer.apply_ema_weights()
                optimizer.reset_old_weights()
                seen.append(int(get_values([optimizer.iterations])[0]))

            def on_train_batch_end(self, batch, logs=None):
                if hooks.get("batch"):
                    self.swap()

            def on_epoch_end(self, epoch, logs=None):
                self.swap()

        callback = Callback()
        callback.seen = seen
        return callback


@pytest.mark.parametrize("batch", [False, True])
def test_callbacks_see_the_average_of_now(batch):
    optimizer, other = AdamEMA(1e-2, ema_momentum=0.9), AdamEMA(1e-2, ema_momentum=0.9)
    model, alone = make_model(optimizer), make_model(other)
    callback = Averaged(optimizer, batch=batch)
    fit(model, epochs=2, callbacks=[callback])
    fit(alone, epochs=2)
    assert callback.seen == ([1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11, 12, 12] if batch else [6, 12])
    for one, two in zip(get_values(optimizer.variables), get_values(other.variables)):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(model.get_weights(), alone.get_weights()):
        np.testing.assert_array_equal(one, two)
    optimizer.apply_ema_weights()
    before = model.evaluate(TOKENS, TARGETS, verbose=0)
    optimizer.reset_old_weights()
    assert model.evaluate(TOKENS, TARGETS, verbose=0) != before


def test_there_is_no_average_before_the_first_step():
    with pytest.raises(ValueError, match="train for a step first"):
        AdamEMA().apply_ema_weights()
    with pytest.raises(ValueError, match="call apply_ema_weights first"):
        AdamEMA().reset_old_weights()


@pytest.mark.parametrize("clip", [{"clipnorm": 0.5}, {"clipvalue": 0.1}, {"global_clipnorm": 0.5}])
def test_gradients_are_clipped_before_anything_else(clip):
    gradients = np.array([[3.0, 4.0]], "float32")
    clipped = stepped(
        extend_with_weight_decay(keras.optimizers.SGD)(1.0, weight_decay_rate=0.25, **clip), gradients
    )
    expected = 0.1 if "clipvalue" in clip else np.array([0.3, 0.4])
    np.testing.assert_allclose(clipped[0], 1 - 0.25 - expected, rtol=1e-6)
