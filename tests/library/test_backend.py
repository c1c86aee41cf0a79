"""The helpers of `backend/functions.py`."""

import numpy as np
import pytest

from bert4keras3 import backend, ops
from bert4keras3.backend import K, Layer, keras

RANDOM = np.random.RandomState(0)
SCORES = RANDOM.normal(size=(2, 3, 4, 5)).astype("float32")  # (batch, head, query, key)
MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], dtype="bool")  # the second row has no key at all


def evaluate(x):
    return keras.ops.convert_to_numpy(x) if hasattr(keras, "ops") else K.eval(x)


def tensor(array):
    return ops.convert_to_tensor(array)


@pytest.mark.parametrize(
    "axes, ndim, expected",
    [
        ([0, -1], 4, (2, 1, 1, 5)),
        ([0, 2], None, (2, 1, 5)),
        ([1, 2], 4, (1, 2, 5, 1)),
        ([0, 1], None, (2, 5)),
    ],
)
def test_align_puts_axes_in_their_places(axes, ndim, expected):
    assert tuple(backend.align(tensor(MASK), axes, ndim).shape) == expected


@pytest.mark.parametrize("axes, ndim", [([0], None), ([0, -1], None)])
def test_align_refuses_places_that_do_not_fit(axes, ndim):
    with pytest.raises(ValueError, match="align"):
        backend.align(tensor(MASK), axes, ndim)


@pytest.mark.parametrize(
    "start, end, expected", [(None, None, (120,)), (2, None, (2, 3, 20)), (1, 3, (2, 12, 5))]
)
def test_flatten_joins_axes(start, end, expected):
    np.testing.assert_array_equal(
        evaluate(backend.flatten(tensor(SCORES), start, end)), SCORES.reshape(expected)
    )


def test_sequence_masking_fills_what_is_masked():
    expected = np.where(MASK[:, None, None, :], SCORES, -7)
    np.testing.assert_array_equal(
        evaluate(backend.sequence_masking(tensor(SCORES), tensor(MASK), -7, -1)), expected
    )


def test_sequence_masking_takes_numbers_as_mask():
    masked = backend.sequence_masking(tensor(SCORES), tensor(MASK.astype("float32")), 0, -1)
    np.testing.assert_array_equal(evaluate(masked), np.where(MASK[:, None, None, :], SCORES, 0))


def test_sequence_masking_joins_masks_of_several_axes():
    square = SCORES[:, 0, :, :4]
    mask = MASK[:, :4]
    expected = np.where(mask[:, :, None] & mask[:, None, :], square, 0)
    np.testing.assert_array_equal(
        evaluate(backend.sequence_masking(tensor(square), tensor(mask), 0, [1, 2])), expected
    )


def test_sequence_masking_adds_a_bias_and_applies_a_mask_of_bools():
    causal = np.tril(np.ones((4, 5), "bool"))
    x, applied = backend.sequence_masking(
        tensor(SCORES), tensor(MASK), 0, -1, tensor(causal), return_mask=True
    )
    np.testing.assert_array_equal(
        evaluate(applied), np.broadcast_to(MASK[:, None, None] & causal, (2, 1, 4, 5))
    )
    np.testing.assert_array_equal(evaluate(x), np.where(MASK[:, None, None] & causal, SCORES, 0))
    biased = backend.sequence_masking(tensor(SCORES), bias=tensor(SCORES))
    np.testing.assert_array_equal(evaluate(biased), SCORES * 2)


@pytest.mark.parametrize("method", ["softmax", "squared_relu", "softmax_plus"])
def test_attention_normalize_is_zero_where_masked(method):
    weights = evaluate(backend.attention_normalize(tensor(SCORES), tensor(MASK), method=method))
    assert (weights[0, :, :, 3:] == 0).all()


@pytest.mark.parametrize("method", ["softmax", "squared_relu", "softmax_plus"])
def test_attention_normalize_is_finite_without_any_key(method):
    assert np.isfinite(
        evaluate(backend.attention_normalize(tensor(SCORES), tensor(MASK), method=method))
    ).all()


def test_attention_normalize_scales_softmax_plus_by_the_number_of_keys():
    scores, mask = np.zeros((1, 1, 40), "float32"), np.ones((1, 40), "bool")
    scores[0, 0, 0] = 2
    weights = evaluate(backend.attention_normalize(tensor(scores), tensor(mask), method="softmax_plus"))
    expected = np.exp(2 * np.log(40) / np.log(512))
    np.testing.assert_allclose(weights[0, 0, 0] / weights[0, 0, 1], expected, rtol=1e-5)


def test_attention_normalize_refuses_an_unknown_method():
    with pytest.raises(ValueError, match="softmax_plus"):
        backend.attention_normalize(tensor(SCORES), method="sigmoid")


@pytest.mark.parametrize("version, expected", [("erf", "gelu_erf"), ("tanh", "gelu_tanh")])
def test_set_gelu_decides_what_gelu_means(version, expected):
    try:
        backend.set_gelu(version)
        assert backend.get_activation("gelu") is getattr(backend, expected)
    finally:
        backend.set_gelu("erf")


def test_set_gelu_refuses_an_unknown_version():
    with pytest.raises(ValueError, match="erf"):
        backend.set_gelu("sigmoid")


@pytest.mark.parametrize(
    "name", ["gelu", "gelu_erf", "gelu_tanh", "swish", "leaky_relu", "tanh", "linear", "softmax"]
)
def test_activation_is_found_by_name(name):
    assert callable(backend.get_activation(name))


def chain(*names):
    """A model of Dense layers of these names."""
    x = inputs = keras.layers.Input(shape=(3,), name="first")
    for name in names:
        x = keras.layers.Dense(3, name=name)(x)
    return keras.models.Model(inputs, x)


@pytest.mark.parametrize("name", ["first", "a", "b", "c"])
def test_search_layer_finds_what_an_output_is_computed_from(name):
    model = chain("a", "b", "c")
    assert backend.search_layer(model.output, name) is model.get_layer(name)


def test_search_layer_looks_into_models():
    inner = chain("a", "b")
    outer = keras.layers.Input(shape=(3,))
    assert backend.search_layer(inner(outer), "a") is inner.get_layer("a")


def test_search_layer_returns_none_for_an_unknown_name():
    assert backend.search_layer(chain("a", "b").get_layer("b"), "z") is None


def test_search_layer_passes_over_what_it_is_told_to():
    model = chain("a", "b", "c")
    assert backend.search_layer(model.output, "a", {model.get_layer("b")}) is None


def test_symbolic_changes_nothing():
    assert backend.symbolic(chain) is chain


def test_available_gpus_are_names():
    assert all(isinstance(name, str) for name in backend.get_available_gpus())


@pytest.mark.parametrize("value, expected", [(tensor(SCORES), "float32"), (SCORES, None), (1.5, None)])
def test_dtype_is_that_of_a_tensor(value, expected):
    if backend.framework == "numpy" and value is SCORES:
        expected = "float32"  # arrays are the tensors there
    assert backend.dtype(value) == expected


def test_reshape_refuses_an_axis_without_a_shape():
    with pytest.raises(ValueError, match="pairs"):
        backend.reshape(tensor(SCORES), [2, 3], 1, [2])


def test_pool1d_refuses_an_unknown_mode():
    with pytest.raises(ValueError, match="avg"):
        backend.pool1d(tensor(SCORES[:, 0]), 2, pool_mode="min")


def test_pool1d_takes_channels_first():
    x = SCORES[:, 0]
    pooled = backend.pool1d(tensor(x.transpose(0, 2, 1)), 2, data_format="channels_first")
    np.testing.assert_array_equal(evaluate(pooled), np.maximum(x[:, :-1], x[:, 1:]).transpose(0, 2, 1))


def test_masked_classes_do_not_count_in_the_multilabel_loss():
    y_true = np.array([[1, 0, 1, 0]], "float32")
    scores = np.array([[2.0, -1.0, -np.inf, -np.inf]], "float32")
    loss = backend.multilabel_categorical_crossentropy(tensor(y_true), tensor(scores))
    np.testing.assert_allclose(evaluate(loss), [np.log1p(np.exp(-2)) + np.log1p(np.exp(-1))], rtol=1e-5)


class MultilabelLoss(Layer):
    """Scores (batch, classes) → the loss of fixed labels, with its corner cases."""

    def __init__(self, function, y_true, **kwargs):
        super().__init__()
        self.function, self.y_true, self.arguments = function, y_true, kwargs

    def call(self, inputs, mask=None):
        return ops.expand_dims(self.function(tensor(self.y_true), inputs, **self.arguments), -1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1)


@pytest.mark.parametrize(
    "name, y_true, arguments",
    [
        ("multilabel_categorical_crossentropy", [[0, 0, 0], [1, 1, 1], [1, 0, 1]], {}),
        ("sparse_multilabel_categorical_crossentropy", [[0, 0], [1, 0], [1, 2]], {"mask_zero": True}),
    ],
)
def test_multilabel_losses_have_finite_gradients(name, y_true, arguments):
    """Without any label, with nothing but labels, and with masked classes."""
    shift = keras.layers.Dense(3, kernel_initializer="identity")
    inputs = keras.layers.Input(shape=(3,))
    loss = MultilabelLoss(getattr(backend, name), np.array(y_true, "float32"), **arguments)
    model = keras.models.Model(inputs, loss(MaskLast()(shift(inputs))))
    model.compile(keras.optimizers.SGD(0.1), loss=lambda y_true, y_pred: y_pred)
    model.train_on_batch(SCORES[0, :, 0, :3], np.zeros((3, 1)))
    assert np.isfinite(shift.get_weights()[0]).all()
    assert not np.array_equal(shift.get_weights()[0], np.eye(3))


class MaskLast(Layer):
    """−inf for the last class."""

    def call(self, inputs, mask=None):
        return ops.where(tensor(np.array([True, True, False])), inputs, float("-inf"))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


def test_keras_of_a_script_is_this_keras():
    """A published script imports the library first, then from keras, with TF_KERAS=1 too."""
    from keras.layers import Dense
    from keras.models import Model

    assert Dense is keras.layers.Dense
    assert Model is keras.models.Model
