"""predict_in_buckets: the same numbers, fewer compilations."""

import sys

import numpy as np
import pytest
from small_models import MODELS, build, inputs_of

from bert4keras3.backend import Layer, Model, framework
from bert4keras3.snippets import predict_in_buckets
from bert4keras3.snippets.buckets import positions_of
from parity.adapter import listed


@pytest.mark.parametrize("name", sorted(MODELS))
def test_padding_to_a_bucket_changes_no_output(name, fresh_session):
    model = build(name)
    values = inputs_of(model, np.array([[2, 5, 9, 4, 0], [2, 7, 7, 7, 3]]))
    feed = values if len(values) > 1 else values[0]
    bucketed = listed(predict_in_buckets(model, feed, lengths=(4, 8), verbose=0))
    for output, expected in zip(bucketed, listed(model.predict(feed, verbose=0))):
        assert output.shape == expected.shape
        known = np.ones(expected.shape, "bool")
        if expected.ndim == 3:
            known[0, 4:] = False  # padding anyway
        error = np.abs(output - expected)[known].max()
        assert error < 2e-6 * max(1, np.abs(expected).max()), f"{name}: largest difference {error:.1e}"


def test_no_bucket_is_longer_than_the_table_of_positions():
    model = build("bert", with_mlm=False, with_nsp=False)
    room = positions_of(model)
    tokens = np.full((1, room - 1), 5)
    feed = [tokens, np.zeros_like(tokens)]
    bucketed = predict_in_buckets(model, feed, lengths=(4, 10 * room), verbose=0)
    assert np.abs(bucketed - model.predict(feed, verbose=0)).max() < 1e-5
    assert positions_of(build("t5")) == sys.maxsize


def test_inputs_of_two_lengths_go_to_buckets_of_their_own():
    model = build("t5")
    encoder, decoder = np.array([[5, 9, 4, 3, 2, 6]]), np.array([[0, 7, 8]])
    bucketed = predict_in_buckets(model, [encoder, decoder], lengths=(4, 8), verbose=0)
    expected = model.predict([encoder.astype("float32"), decoder.astype("float32")], verbose=0)
    assert bucketed.shape == expected.shape
    assert np.abs(bucketed - expected).max() < 1e-6


class CountsItsTraces(Layer):
    traces = 0

    def call(self, inputs, mask=None):
        CountsItsTraces.traces += 1
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.skipif(framework in ("torch", "numpy"), reason="there the layers run at every call")
def test_the_model_is_compiled_once_a_bucket():
    model = build("bert", with_mlm=False, with_nsp=False)
    model = Model(model.inputs, CountsItsTraces(name="Counter")(model.output))

    def traces(predict):
        CountsItsTraces.traces = 0
        for length in range(3, 9):
            tokens = np.full((2, length), 5, "float32")
            predict(model, [tokens, np.zeros_like(tokens)])
        return CountsItsTraces.traces

    bucketed = traces(lambda model, x: predict_in_buckets(model, x, lengths=(4, 8), verbose=0))
    assert bucketed <= 2, f"2 buckets, but the layers were traced {bucketed} times"
