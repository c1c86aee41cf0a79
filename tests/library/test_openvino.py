"""What our models do on OpenVINO and Keras's own do not."""

import numpy as np
import pytest
from small_models import MODELS, SIZES, build, inputs_of

from bert4keras3.backend import framework, ops
from bert4keras3.generation import CachedModel, Generator
from bert4keras3.models import build_transformer_model
from parity.adapter import listed

pytestmark = pytest.mark.skipif(framework != "openvino", reason="about Keras 3 on OpenVINO")


def feed(model, length):
    values = inputs_of(model, np.arange(2 * length).reshape(2, length) + 1)
    return values if len(values) > 1 else values[0]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_one_compilation_serves_every_shape(name):
    model = build(name)
    expected = {length: model.predict(feed(model, length), verbose=0) for length in (6, 4)}
    compiled = model.ov_compiled_model
    model.predict(feed(model, 6), verbose=0)
    assert model.ov_compiled_model is compiled
    fresh = build(name)
    fresh.set_weights(model.get_weights())
    for one, other in zip(listed(fresh.predict(feed(model, 4), verbose=0)), listed(expected[4])):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_changed_weights_count():
    model = build("bert", with_nsp=False)
    before = model.predict(feed(model, 6), verbose=0)
    model.get_layer("MLM-Bias").set_weights([np.arange(600, dtype="float32") / 100])
    assert np.abs(model.predict(feed(model, 6), verbose=0) - before).max() > 0.005


def test_a_direct_call_gives_what_predict_gives():
    model = build("gpt")
    called = ops.convert_to_numpy(model(feed(model, 6)))
    np.testing.assert_array_equal(called, model.predict(feed(model, 6), verbose=0))


def test_it_computes_in_float32():
    model = build("nezha")
    model.predict(feed(model, 6), verbose=0)
    precision = model.ov_compiled_model.get_property("INFERENCE_PRECISION_HINT")
    assert "32" in str(precision) or "float'>" in str(precision), f"computes in {precision}"


@pytest.mark.parametrize("make", [Generator, CachedModel])
def test_cached_generation_names_the_backends_that_it_needs(make):
    transformer = build_transformer_model(model="gpt2", return_keras_model=False, **SIZES)
    with pytest.raises(NotImplementedError, match="KERAS_BACKEND=jax.*AutoRegressiveDecoder"):
        make(transformer)
