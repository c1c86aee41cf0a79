"""Each function of `K` against NumPy. On Keras 2 the same rows run on Keras's own K, so ours means the same."""

import numpy as np
import pytest

from bert4keras3.backend import FLAVOUR, K, Layer, keras

RANDOM = np.random.RandomState(0)
X = RANDOM.normal(size=(2, 3, 4)).astype("float32")
Y = RANDOM.normal(size=(2, 3, 4)).astype("float32")
P = np.exp(X) / np.exp(X).sum(-1, keepdims=True)
IDS = np.array([[0, 2, 1], [3, 1, 0]], dtype="int32")
ONE_HOT = np.eye(4, dtype="float32")[IDS]
B = X > 0
SIGMOID = 1 / (1 + np.exp(-X))
IMAGE = RANDOM.normal(size=(1, 4, 4, 2)).astype("float32")
KERNEL = RANDOM.normal(size=(1, 1, 2, 3)).astype("float32")
WIDTH_2 = RANDOM.normal(size=(2, 4, 5)).astype("float32")  # (width, in, out)
CROSS_ENTROPY = -np.log((P * ONE_HOT).sum(-1))
keras3_only = pytest.mark.skipif(FLAVOUR != "keras3", reason="K of Keras 2 is Keras's own")


def convolve(x, kernel):
    width = len(kernel)
    windows = [x[:, i : x.shape[1] - width + 1 + i] @ kernel[i] for i in range(width)]
    return np.sum(windows, axis=0)


# (function, arguments, keyword arguments, what NumPy says)
ROWS = [
    ("abs", (X,), {}, np.abs(X)),
    ("all", (B,), {"axis": 1}, B.all(1)),
    ("any", (B,), {"axis": 1, "keepdims": True}, B.any(1, keepdims=True)),
    ("arange", (5,), {}, np.arange(5)),
    ("arange", (1, 9, 2), {"dtype": "float32"}, np.arange(1, 9, 2)),
    ("argmax", (X,), {}, X.argmax(-1)),
    ("argmin", (X,), {"axis": 1}, X.argmin(1)),
    ("batch_dot", (X, Y), {"axes": 2}, X @ Y.transpose(0, 2, 1)),
    ("batch_dot", (X, Y), {"axes": [2, 2]}, X @ Y.transpose(0, 2, 1)),
    ("batch_dot", (X, Y), {"axes": (1, 1)}, X.transpose(0, 2, 1) @ Y),
    ("batch_dot", (X, Y.transpose(0, 2, 1)), {}, X @ Y.transpose(0, 2, 1)),
    ("batch_dot", (X, Y[:, 0]), {"axes": (2, 1)}, (X @ Y[:, 0, :, None])[..., 0]),
    ("batch_dot", (X[:, 0], Y[:, 0]), {"axes": 1}, (X[:, 0] * Y[:, 0]).sum(-1, keepdims=True)),
    ("batch_flatten", (X,), {}, X.reshape(2, -1)),
    ("bias_add", (X, Y[0, 0]), {}, X + Y[0, 0]),
    ("bias_add", (X, Y[0, :, 0]), {"data_format": "channels_first"}, X + Y[0, :, :1]),
    ("binary_crossentropy", (ONE_HOT, SIGMOID), {}, -np.log(np.where(ONE_HOT > 0, SIGMOID, 1 - SIGMOID))),
    (
        "binary_crossentropy",
        (ONE_HOT, X),
        {"from_logits": True},
        -np.log(np.where(ONE_HOT > 0, SIGMOID, 1 - SIGMOID)),
    ),
    ("cast", (X, "int32"), {}, X.astype("int32")),
    ("categorical_crossentropy", (ONE_HOT, P), {}, CROSS_ENTROPY),
    ("categorical_crossentropy", (ONE_HOT, 3 * P), {}, CROSS_ENTROPY),
    ("categorical_crossentropy", (ONE_HOT, X), {"from_logits": True}, CROSS_ENTROPY),
    ("categorical_crossentropy", (ONE_HOT, np.zeros_like(P)), {}, None),
    ("clip", (X, -0.5, 0.5), {}, X.clip(-0.5, 0.5)),
    ("concatenate", ([X, Y],), {}, np.concatenate([X, Y], -1)),
    ("concatenate", ([X, Y],), {"axis": 0}, np.concatenate([X, Y])),
    ("constant", (X,), {}, X),
    ("conv1d", (X, WIDTH_2), {}, convolve(X, WIDTH_2)),
    (
        "conv1d",
        (X, WIDTH_2),
        {"padding": "causal"},
        convolve(np.pad(X, [(0, 0), (1, 0), (0, 0)], "constant"), WIDTH_2),
    ),
    ("conv2d", (IMAGE, KERNEL), {}, IMAGE @ KERNEL[0, 0]),
    ("cos", (X,), {}, np.cos(X)),
    ("cumprod", (X,), {"axis": 1}, X.cumprod(1)),
    ("cumsum", (X,), {}, X.cumsum(0)),
    ("dot", (X, Y[0].T), {}, X @ Y[0].T),
    ("dot", (X, Y.transpose(0, 2, 1)), {}, np.dot(X, Y.transpose(0, 2, 1))),
    ("elu", (X, 0.5), {}, np.where(X > 0, X, 0.5 * (np.exp(X) - 1))),
    ("equal", (IDS, IDS.T.reshape(2, 3)), {}, IDS == IDS.T.reshape(2, 3)),
    ("exp", (X,), {}, np.exp(X)),
    ("expand_dims", (X,), {}, X[..., None]),
    ("expand_dims", (X, 1), {}, X[:, None]),
    ("eye", (3,), {}, np.eye(3)),
    ("flatten", (X,), {}, X.reshape(-1)),
    ("gather", (X[0], IDS[0]), {}, X[0][IDS[0]]),
    ("gather", (Y.reshape(6, 4), IDS), {}, Y.reshape(6, 4)[IDS]),
    ("greater", (X, Y), {}, X > Y),
    ("greater_equal", (X, Y), {}, X >= Y),
    ("hard_sigmoid", (3 * X,), {}, (0.6 * X + 0.5).clip(0, 1)),
    ("identity", (X,), {}, X),
    ("in_top_k", (X[0], IDS[0], 1), {}, X[0].argmax(-1) == IDS[0]),
    ("in_test_phase", (X, Y), {}, X),
    ("in_train_phase", (X, Y), {}, Y),
    ("in_train_phase", (X, Y), {"training": 1}, X),
    ("l2_normalize", (X,), {"axis": -1}, X / np.sqrt((X * X).sum(-1, keepdims=True))),
    ("less", (X, Y), {}, X < Y),
    ("less_equal", (X, Y), {}, X <= Y),
    ("log", (P,), {}, np.log(P)),
    ("logsumexp", (X,), {"axis": 1}, np.log(np.exp(X).sum(1))),
    ("map_fn", (lambda x: x * 2, X), {}, X * 2),
    ("max", (X,), {"axis": 1}, X.max(1)),
    ("maximum", (X, Y), {}, np.maximum(X, Y)),
    ("mean", (X,), {"axis": [0, 1], "keepdims": True}, X.mean((0, 1), keepdims=True)),
    ("mean", (B,), {}, B.mean()),
    ("min", (X,), {}, X.min()),
    ("minimum", (X, 0.1), {}, np.minimum(X, 0.1)),
    ("not_equal", (X, X * 1), {}, np.zeros_like(B)),
    ("one_hot", (IDS, 4), {}, ONE_HOT),
    ("ones", ((2, 3),), {}, np.ones((2, 3))),
    ("ones_like", (X,), {}, np.ones_like(X)),
    ("permute_dimensions", (X, (0, 2, 1)), {}, X.transpose(0, 2, 1)),
    ("pool2d", (IMAGE, (2, 2), (2, 2)), {}, IMAGE.reshape(1, 2, 2, 2, 2, 2).max((2, 4))),
    ("pool2d", (IMAGE, (2, 2), (2, 2)), {"pool_mode": "avg"}, IMAGE.reshape(1, 2, 2, 2, 2, 2).mean((2, 4))),
    ("pow", (P, 3), {}, P**3),
    ("prod", (X,), {"axis": -1}, X.prod(-1)),
    ("relu", (X,), {}, np.maximum(X, 0)),
    ("relu", (X,), {"alpha": 0.1, "max_value": 0.5}, np.where(X < 0, 0.1 * X, X.clip(0, 0.5))),
    ("repeat", (X[0], 2), {}, np.stack([X[0], X[0]], 1)),
    ("repeat_elements", (X, 2, 1), {}, np.repeat(X, 2, 1)),
    ("reshape", (X, (-1, 6)), {}, X.reshape(-1, 6)),
    ("reverse", (X, 1), {}, X[:, ::-1]),
    ("round", (X,), {}, np.round(X)),
    ("shape", (X,), {}, np.array([2, 3, 4])),
    ("sigmoid", (X,), {}, SIGMOID),
    ("sign", (X,), {}, np.sign(X)),
    ("sin", (X,), {}, np.sin(X)),
    ("size", (X,), {}, 24),
    ("slice", (X, [0, 1, 1], [2, 2, 2]), {}, X[:2, 1:3, 1:3]),
    ("slice", (X, [0, 1, 1], [-1, 2, -1]), {}, X[:, 1:3, 1:]),
    ("softmax", (X,), {}, P),
    ("softmax", (X,), {"axis": 1}, np.exp(X) / np.exp(X).sum(1, keepdims=True)),
    ("softplus", (X,), {}, np.log(1 + np.exp(X))),
    ("softsign", (X,), {}, X / (1 + np.abs(X))),
    ("sparse_categorical_crossentropy", (IDS, P), {}, CROSS_ENTROPY),
    ("sparse_categorical_crossentropy", (IDS[..., None], P), {}, CROSS_ENTROPY),
    ("sparse_categorical_crossentropy", (IDS.astype("float32"), P), {}, CROSS_ENTROPY),
    ("sparse_categorical_crossentropy", (IDS, X), {"from_logits": True}, CROSS_ENTROPY),
    ("spatial_2d_padding", (IMAGE,), {}, np.pad(IMAGE, [(0, 0), (1, 1), (1, 1), (0, 0)], "constant")),
    ("sqrt", (X,), {}, np.sqrt(np.maximum(X, 0))),
    ("square", (X,), {}, X * X),
    ("squeeze", (X[:, :1], 1), {}, X[:, 0]),
    ("stack", ([X, Y],), {}, np.stack([X, Y])),
    ("std", (X,), {"axis": 1}, X.std(1)),
    ("stop_gradient", (X,), {}, X),
    ("sum", (X,), {}, X.sum()),
    ("sum", (X,), {"axis": [0, -1]}, X.sum((0, -1))),
    ("switch", (B, X, Y), {}, np.where(B, X, Y)),
    ("tanh", (X,), {}, np.tanh(X)),
    ("temporal_padding", (X, (2, 1)), {}, np.pad(X, [(0, 0), (2, 1), (0, 0)], "constant")),
    ("tile", (X, [1, 2, 1]), {}, np.tile(X, [1, 2, 1])),
    ("transpose", (X[0],), {}, X[0].T),
    ("var", (X,), {"axis": -1, "keepdims": True}, X.var(-1, keepdims=True)),
    ("variable", (X,), {}, X),
    ("zeros", ((2, 3),), {}, np.zeros((2, 3))),
    ("zeros_like", (X,), {}, np.zeros_like(X)),
]
ROWS = [row for row in ROWS if row[3] is not None]
TESTED_ELSEWHERE = set(
    """backend batch_get_value batch_set_value cast_to_floatx clear_session count_params dropout
    dtype eager epsilon eval floatx function get_uid gradients
    get_value image_data_format int_shape is_keras_tensor is_sparse
    is_tensor is_variable learning_phase name_scope ndim normalize_data_format placeholder
    random_bernoulli random_binomial random_normal random_normal_variable random_uniform random_uniform_variable
    set_epsilon set_floatx set_image_data_format set_value standardize_dtype symbolic to_dense
    is_float_dtype is_int_dtype result_type truncated_normal
    update update_add update_sub""".split()
)
HELPERS = {"are_numbers", "sizes_of", "value_of", "fresh_seed", "is_training"}


def as_tensor(argument):
    if isinstance(argument, np.ndarray):
        return K.constant(argument, dtype=argument.dtype.name)
    if isinstance(argument, list) and isinstance(argument[0], np.ndarray):
        return [as_tensor(one) for one in argument]
    return argument


@pytest.mark.parametrize(
    "name, arguments, keywords, expected", ROWS, ids=[f"{row[0]}-{i}" for i, row in enumerate(ROWS)]
)
def test_function_matches_numpy(name, arguments, keywords, expected):
    if FLAVOUR != "keras3" and not hasattr(K, name):
        pytest.skip(f"tf.keras has no K.{name}")
    if name not in ("constant", "variable"):
        arguments = [as_tensor(one) for one in arguments]
    result = getattr(K, name)(*arguments, **keywords)
    np.testing.assert_allclose(K.eval(result), expected, rtol=2e-5, atol=2e-6)


@keras3_only
def test_every_function_has_a_row():
    tested = {row[0] for row in ROWS} | TESTED_ELSEWHERE | HELPERS
    functions = {name for name in vars(K) if callable(vars(K)[name]) and name[0].islower()}
    assert functions - tested == set()


# Values, settings, types


@keras3_only  # Keras 2 does it on TensorFlow 1 only
def test_switch_takes_a_condition_for_each_sample():
    condition = X[:, 0, 0] > 0
    result = K.switch(as_tensor(condition), as_tensor(X), as_tensor(Y))
    np.testing.assert_allclose(K.eval(result), np.where(condition[:, None, None], X, Y))


def test_variable_is_set_and_read():
    variable = K.variable(X)
    K.set_value(variable, 2 * X)
    K.batch_set_value([(variable, K.get_value(variable) + 1)])
    np.testing.assert_allclose(K.batch_get_value([variable])[0], 2 * X + 1, rtol=1e-6)


@pytest.mark.parametrize(
    "function, value, expected", [("update", Y, Y), ("update_add", Y, X + Y), ("update_sub", Y, X - Y)]
)
def test_update_changes_the_variable(function, value, expected):
    variable = K.variable(X)
    K.eval(getattr(K, function)(variable, K.constant(value)))
    np.testing.assert_allclose(K.eval(variable), expected, rtol=1e-5, atol=1e-6)


def test_shapes_and_types_are_python_values():
    x = K.constant(X)
    assert (K.int_shape(x), K.ndim(x), K.dtype(x), K.count_params(K.variable(X))) == (
        (2, 3, 4),
        3,
        "float32",
        24,
    )


def test_sparse_is_told():
    assert not K.is_sparse(K.constant(X))


def test_cast_to_floatx_keeps_arrays():
    assert K.cast_to_floatx(np.arange(3)).dtype == K.floatx()


def test_epsilon_is_the_one_of_keras_2():
    assert K.epsilon() == 1e-7


# Shapes of tensors


@pytest.mark.parametrize(
    "compute, expected",
    [
        (lambda x: K.reshape(x, (K.shape(x)[0], -1)), X.reshape(2, 12)),
        (lambda x: K.reshape(x, (-1, K.shape(x)[1] * 2, 2)), X.reshape(2, 6, 2)),
        (lambda x: K.reshape(x, K.concatenate([K.shape(x)[:1], [2, 6]], 0)), X.reshape(2, 2, 6)),
        (lambda x: K.reshape(x, K.stack([K.shape(x)[0], K.prod(K.shape(x)[1:])])), X.reshape(2, 12)),
        (lambda x: K.ones((K.shape(x)[0], 3)), np.ones((2, 3))),
        (lambda x: K.cast(K.shape(x)[1], "float32") * x, 3 * X),
        (lambda x: K.arange(0, K.shape(x)[1]), np.arange(3)),
    ],
)
def test_shape_is_used_in_shapes(compute, expected):
    np.testing.assert_allclose(K.eval(compute(K.constant(X))), expected)


@pytest.mark.parametrize(
    "compute, expected",
    [
        (lambda x: K.reshape(x, (K.shape(x)[0], -1, 2)), X.reshape(2, 6, 2)),
        (lambda x: K.reshape(x, K.concatenate([K.shape(x)[:2], [2, 2]], 0)), X.reshape(2, 3, 2, 2)),
        (lambda x: x * K.cast(K.shape(x)[1], "float32"), 3 * X),
        pytest.param(
            lambda x: x + K.zeros((K.shape(x)[0], 1, 4)),
            X,
            marks=pytest.mark.skipif(
                FLAVOUR == "tf_keras", reason="its K.zeros leaves the graph that x is in"
            ),
        ),
    ],
)
def test_shape_of_unknown_length_is_used_in_a_lambda(compute, expected):
    x = keras.layers.Input((None, 4))
    model = keras.models.Model(x, keras.layers.Lambda(compute)(x))
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-6)


# Random numbers


@pytest.mark.parametrize(
    "name, keywords, mean, deviation",
    [
        ("random_uniform", {"minval": -1, "maxval": 3}, 1, 4 / 12**0.5),
        ("random_normal", {"mean": 2, "stddev": 3}, 2, 3),
        ("truncated_normal", {"mean": 2, "stddev": 3}, 2, 3 * 0.8796),
        ("random_binomial", {"p": 0.25}, 0.25, 0.1875**0.5),
        ("random_uniform_variable", {"low": -1, "high": 3}, 1, 4 / 12**0.5),
        ("random_normal_variable", {"mean": 2, "scale": 3}, 2, 3),
    ],
)
def test_random_numbers_have_mean_and_deviation(name, keywords, mean, deviation):
    drawn = K.eval(getattr(K, name)((100, 200), **keywords))
    assert drawn.shape == (100, 200)
    assert abs(drawn.mean() - mean) < 0.1 and abs(drawn.std() - deviation) < 0.1


def test_dropout_keeps_the_mean():
    dropped = K.eval(K.dropout(K.ones((100, 200)), 0.25))
    np.testing.assert_allclose(np.unique(dropped), [0, 4 / 3], rtol=1e-6)
    assert abs(dropped.mean() - 1) < 0.05


# Functions and phases


class InPhase(keras.layers.Layer):
    """A layer in the style of Keras 2: doubles in training, halves otherwise; knows nothing of `training`."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(1,), initializer="ones")
        super().build(input_shape)

    def call(self, inputs):
        return K.in_train_phase(inputs * 2 * self.scale, lambda: inputs * 0.5 * self.scale)

    def compute_output_shape(self, input_shape):
        return input_shape


def in_phase_model():
    x = keras.layers.Input((4,))
    return keras.models.Model(x, InPhase()(x))


def test_function_computes_outputs_of_a_graph():
    x = keras.layers.Input((4,))
    hidden = keras.layers.Dense(3)
    y = keras.layers.Activation("tanh")(hidden(x))
    function = K.function([x], [y, hidden.output])
    values = function([X[0]])
    np.testing.assert_allclose(values[0], np.tanh(values[1]), rtol=1e-5)


def test_phase_of_predict_is_that_of_a_test():
    np.testing.assert_allclose(in_phase_model().predict(X[0], verbose=0), X[0] / 2, rtol=1e-6)


def test_phase_of_fit_is_that_of_training():
    model = in_phase_model()
    model.compile("sgd", "mse")
    x = np.ones((2, 4), "float32")
    loss = model.train_on_batch(x, 0 * x)  # (2 · 1)²
    assert np.allclose(np.ravel(loss)[0], 4)


@keras3_only
def test_function_takes_the_learning_phase():
    model = in_phase_model()
    function = K.function([model.input, K.learning_phase()], [model.output])
    np.testing.assert_allclose(function([X[0], 1])[0], X[0] * 2, rtol=1e-6)


@keras3_only
def test_phase_outside_of_a_layer_becomes_a_layer():
    x = keras.layers.Input((4,))
    model = keras.models.Model(x, K.in_train_phase(x * 2, x))
    results = [K.eval(model(K.constant(X[0]), training=training)) for training in (True, False)]
    np.testing.assert_allclose(results, [2 * X[0], X[0]])


class Noise(keras.layers.Layer):
    """Random numbers from K in a layer that owns no generator."""

    def call(self, inputs):
        return inputs + K.random_uniform(K.shape(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape


def test_compiled_call_draws_anew_each_time():
    x = keras.layers.Input((4,))
    model = keras.models.Model(x, Noise()(x))
    first, second = [model.predict(X[0], verbose=0) for _ in range(2)]
    assert (first != second).all()


def test_compiled_call_draws_in_training():
    x = keras.layers.Input((4,))
    model = keras.models.Model(x, keras.layers.Dense(4)(Noise()(x)))
    model.compile("sgd", "mse")
    assert np.isfinite(model.train_on_batch(X[0], X[0]))


@keras3_only
def test_seed_gives_a_row_of_different_numbers():
    first, second = [K.eval(K.random_uniform((4,), seed=3)) for _ in range(2)]
    assert (first != second).all()


# What Keras 2 has beside K


class Scale(Layer):
    def build(self, input_shape):
        self.scale = self.add_weight("scale", (input_shape[-1],), initializer="ones")
        self.built = True

    def call(self, inputs, mask=None):
        return inputs * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape


def test_layer_gives_the_output_of_each_call():
    scale, inputs = Scale(), [keras.layers.Input((4,)) for _ in range(2)]
    outputs = [scale(x) for x in inputs]
    assert scale.get_output_at(0) is outputs[0] and scale.get_output_at(-1) is outputs[1]


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
def test_one_batch_predicts_what_several_do(dtype, capsys):
    inputs = [keras.layers.Input((4,)) for _ in range(2)]
    model = keras.models.Model(inputs, keras.layers.Add()(inputs))
    x, y = [np.arange(12).reshape(3, 4).astype(dtype) for _ in range(2)]
    one, several = model.predict([x, y], verbose=0), model.predict([x, y], batch_size=1, verbose=0)
    assert not capsys.readouterr().out
    np.testing.assert_array_equal(one, x + y)
    np.testing.assert_array_equal(one, several)
    assert one.dtype == several.dtype
    if FLAVOUR == "keras3":
        model.predict([x, y])
        assert "1/1" in capsys.readouterr().out, "no progress bar"


def test_model_predicts_from_nested_lists():
    inputs = [keras.layers.Input((4,)) for _ in range(2)]
    model = keras.models.Model(inputs, keras.layers.Add()(inputs))
    if FLAVOUR == "tf_keras":
        pytest.skip("tf.keras takes a list of lists for one array")
    np.testing.assert_allclose(
        model.predict([X[0].tolist(), Y[0].tolist()], verbose=0), X[0] + Y[0], rtol=1e-6
    )


def test_keras_has_this_backend():
    assert keras.backend.sum is K.sum


# What does not exist


@keras3_only
@pytest.mark.parametrize("name, way", [("rnn", "keras.layers.RNN"), ("get_session", "K.function")])
def test_missing_function_names_the_modern_way(name, way):
    with pytest.raises(AttributeError, match=way):
        getattr(K, name)


@keras3_only
def test_eval_of_a_symbolic_tensor_names_function():
    with pytest.raises(ValueError, match="K.function"):
        K.eval(keras.layers.Input((4,)))
