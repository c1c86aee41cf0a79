"""Models as files for other programs, SavedModel and ONNX: any batch and length, the numbers of the model."""

from importlib.util import find_spec

import numpy as np
import pytest
import small_models

from bert4keras3.backend import framework, keras

NAMES = ("bert", "bert-unilm", "gau_alpha", "roformer_v2", "t5")
LONG = np.array([[5, 6, 7, 8, 9, 599], [5, 0, 7, 0, 0, 9], [0, 0, 0, 0, 0, 0]])
SHORT = LONG[:2, :4]
in_models = pytest.mark.parametrize("name", NAMES)


def needs(backend, *packages):
    """Skip where Keras 3 does not run on this framework, or a package that it exports with is not installed."""
    here = hasattr(keras, "ops") and framework == backend
    missing = [package for package in packages if here and find_spec(package) is None]
    reason = "not installed: " + ", ".join(missing) if missing else "exported by Keras 3 on " + backend
    return pytest.mark.skipif(not here or bool(missing), reason=reason)


def built(name, **arguments):
    """(model, its outputs of two batches). Keras exports models that have been called."""
    model = small_models.build(name, **arguments)
    return model, [small_models.outputs_of(model, LONG), small_models.outputs_of(model, SHORT)]


def assert_close(outputs, expected):
    """Both compute in float32; what comes out differs in the order of sums alone."""
    assert len(outputs) == len(expected)
    for output, value in zip(outputs, expected):
        np.testing.assert_allclose(output, value, rtol=1e-5, atol=1e-6)


def serve(path, model, tokens):
    """Outputs of a SavedModel, in TensorFlow."""
    import tensorflow as tf

    values = [tf.constant(value) for value in small_models.inputs_of(model, tokens)]
    loaded = tf.saved_model.load(path)
    outputs = loaded.serve(values if len(values) > 1 else values[0])
    return [output.numpy() for output in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


@needs("tensorflow")
@in_models
def test_a_saved_model_computes_what_the_model_does(tmp_path, name):
    model, (long, short) = built(name)
    model.export(str(tmp_path), verbose=False)
    assert_close(serve(str(tmp_path), model, LONG), long)
    assert_close(serve(str(tmp_path), model, SHORT), short)


@needs("jax", "tensorflow")
@in_models
def test_a_saved_model_from_jax_computes_what_the_model_does(tmp_path, name):
    """By itself Keras gives each input a length of its own on JAX; tokens and segments have to have one, of which JAX
    has to know that the table of positions is long enough.
    """
    model, (long, short) = built(name)
    shapes = ["(batch, decoded)" if "Decoder" in x.name else "(batch, length)" for x in model.inputs]
    limits = [f"length <= {small_models.SIZES['max_position_embeddings']}"]
    # for gradients jax2tf would trace without the limits
    arguments = dict(polymorphic_shapes=[shapes], polymorphic_constraints=limits, with_gradient=False)
    model.export(str(tmp_path), verbose=False, jax2tf_kwargs=arguments)
    assert_close(serve(str(tmp_path), model, LONG), long)
    assert_close(serve(str(tmp_path), model, SHORT), short)


@needs("torch", "onnx", "onnxruntime", "onnxscript")
@pytest.mark.filterwarnings(
    "ignore"
)  # what a trace holds fast; the second batch shows that it does not matter
@in_models
def test_an_onnx_file_computes_what_the_model_does(tmp_path, name):
    import onnxruntime

    model, (long, short) = built(name)
    model.export(str(tmp_path / "model.onnx"), format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    names = [one.name for one in session.get_inputs()]
    for tokens, expected in ((LONG, long), (SHORT, short)):
        values = small_models.inputs_of(model, tokens)
        assert_close(session.run(None, dict(zip(names, values))), expected)
