"""The helpers of `backend/functions.py`."""

import numpy as np
import pytest

from bert4keras3 import backend, ops
from bert4keras3.backend import K, keras

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
