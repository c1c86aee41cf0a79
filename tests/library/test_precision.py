"""Half precision and int8: models stay finite and close, ids and counts exact."""

import numpy as np
import pytest
import small_models

from bert4keras3 import ops
from bert4keras3.backend import (
    Sinusoidal,
    attention_normalize,
    dtype_name,
    keras,
    multilabel_categorical_crossentropy,
)
from bert4keras3.checkpoints import dtypes, open_checkpoint
from bert4keras3.layers import (
    ConditionalRandomField,
    Embedding,
    GlobalAveragePooling1D,
    LayerNormalization,
    Loss,
    MaximumEntropyMarkovModel,
    PositionEmbedding,
    SinusoidalPositionEmbedding,
    UniLMMask,
)
from parity.adapter import evaluate, open_library
from parity.compare import BOUND, rank
from parity.models.build import build_case, case_weights, load_case, make_inputs
from parity.models.cases import CASES_BY_NAME
from parity.models.compare import error_ratio
from parity.store import GOLDENS, read_arrays, read_json

IS_KERAS_3 = hasattr(keras, "ops")
if IS_KERAS_3:
    set_policy = keras.config.set_dtype_policy
else:
    set_policy = getattr(getattr(keras, "mixed_precision", None), "set_global_policy", None)
POLICIES = ["mixed_float16"] + (["mixed_bfloat16", "bfloat16"] if IS_KERAS_3 else [])
DTYPES = ["float16", "bfloat16"]
FAMILIES = (
    "bert-mlm",
    "albert",
    "nezha",
    "roformer",
    "roformer-v2",
    "electra",
    "cdial-gpt",
    "gpt2-ml",
    "t5",
    "gau-alpha",
)
pytestmark = [
    pytest.mark.usefixtures("fresh_session"),
    pytest.mark.skipif(set_policy is None, reason="dtype policies came with TensorFlow 2.4"),
]
in_policies = pytest.mark.parametrize("policy", POLICIES, indirect=True)


@pytest.fixture
def policy(request):
    set_policy(request.param)
    yield request.param
    set_policy("float32")


def array(x):
    x = ops.cast(x, "float32")
    return ops.convert_to_numpy(x) if IS_KERAS_3 else x.numpy()


def outputs_of_case(library, case, weights):
    """{"<length>/output/<i>": array} at the case's largest length."""
    transformer, model = build_case(library, case)
    load_case(transformer, case, weights)
    length = case.lengths[-1]
    values = make_inputs(library, case, length, transformer, model)
    outputs = evaluate(library, model, values if len(values) > 1 else values[0])
    return {f"{length}/output/{i}": output.astype("float64") for i, output in enumerate(outputs)}


def rounded(checkpoint):
    """A checkpoint's variables with the values that bfloat16 has, in float32."""
    checkpoint = open_checkpoint(checkpoint)
    narrow = dtypes.round_to_bfloat16
    return {name: dtypes.upcast_bfloat16(narrow(np.asarray(checkpoint[name]))) for name in checkpoint}


@pytest.mark.skipif(not IS_KERAS_3, reason="tf.keras has no policy bfloat16")
@pytest.mark.parametrize("name", FAMILIES)
def test_bfloat16_is_as_close_as_its_roundings_allow(name):
    """Error against the float64 golden, in units of that of our float32 model with weights rounded to bfloat16.

    The unit has one rounding a weight. The policy also rounds each number on its way from one weight to the next:
    product, bias, activation, sum with the residual, norm, gamma and beta, all about as large and independent. So
    sqrt(1 + 7) = 2.8 units are expected at most, and the bound is that of every other record, 3.
    """
    library, case = open_library("bert4keras3"), CASES_BY_NAME[name]
    metadata = read_json(GOLDENS / (name + ".json"))
    arrays = read_arrays(GOLDENS / (name + ".npz"))
    golden = {key: value for key, value in arrays.items() if key.startswith(f"{case.lengths[-1]}/")}
    weights = rounded(case_weights(case))
    baseline = outputs_of_case(library, case, weights)
    set_policy("bfloat16")
    try:
        outputs = outputs_of_case(library, case, weights)
    finally:
        set_policy("float32")
    for output in {one.split("/", 1)[1] for one in outputs}:
        assert all(np.isfinite(one).all() for one in outputs.values())
        units = error_ratio(golden, metadata, outputs, output) / error_ratio(
            golden, metadata, baseline, output
        )
        assert rank(units) <= BOUND, f"{output}: {units:.3g} units, expected at most {BOUND:g}"


def loss_of(outputs, tokens):
    """Mean cross entropy of the last output where it has a vocabulary, else mean square."""
    output = outputs[-1]
    if output.shape[-1] != small_models.SIZES["vocab_size"]:
        return ops.mean(ops.square(output))
    return ops.mean(keras.losses.sparse_categorical_crossentropy(ops.convert_to_tensor(tokens), output))


@pytest.mark.parametrize(
    "policy",
    [POLICIES[0]] + [pytest.param(policy, marks=pytest.mark.slow) for policy in POLICIES[1:]],
    indirect=True,
)
@pytest.mark.parametrize("name", sorted(small_models.MODELS))
def test_outputs_and_loss_of_padded_texts_are_finite(policy, name):
    tokens = np.array([[301, 302, 0, 599], [5, 0, 0, 0], [0, 0, 0, 0]])
    outputs = small_models.call(small_models.build(name), tokens)
    for value in outputs + [loss_of(outputs, tokens)]:
        assert np.isfinite(array(value)).all()


@in_policies
@pytest.mark.parametrize("name", ["gpt", "roformer_v2", "t5", "t5.1.1"])
def test_probabilities_of_a_vocabulary_are_float32(policy, name):
    (output,) = small_models.build(name).outputs
    assert dtype_name(output) == "float32"


@in_policies
@pytest.mark.parametrize("merge_mode", ["add", "zero"])
@pytest.mark.parametrize("layer", [PositionEmbedding, SinusoidalPositionEmbedding])
def test_position_ids_are_not_rounded(policy, layer, merge_mode):
    """Of neighbours above 2048 some are one number in every half precision."""
    sizes = dict(input_dim=2060, embeddings_initializer="Sinusoidal") if layer is PositionEmbedding else {}
    layer = layer(output_dim=8, merge_mode=merge_mode, custom_position_ids=True, **sizes)
    ids = np.arange(2050, 2058, dtype="float32")[None]
    x = ops.cast(np.zeros((1, 8, 8)), layer.compute_dtype)
    expected = Sinusoidal()((2060, 8), "float32")[2050:2058]
    np.testing.assert_allclose(array(layer([x, ops.convert_to_tensor(ids)]))[0], expected, atol=2.0**-8)


@in_policies
def test_token_ids_are_not_rounded(policy):
    layer = Embedding(2060, 8, embeddings_initializer="Sinusoidal")
    ids = np.arange(2050, 2058, dtype="float32")[None]
    expected = Sinusoidal()((2060, 8), "float32")[2050:2058]
    np.testing.assert_allclose(array(layer(ops.convert_to_tensor(ids)))[0], expected, atol=2.0**-8)


@in_policies
def test_labels_of_a_loss_are_not_rounded(policy):
    class Labels(Loss):
        def compute_loss(self, inputs, mask=None):
            return inputs[0]

    labels = ops.convert_to_tensor(np.array([[2049.0, 30001.0]], "float32"))
    layer = Labels(output_axis=1)
    layer([labels, ops.cast(np.zeros((1, 2)), layer.compute_dtype)])
    assert array(layer.losses[0]) == 16025.0


@in_policies
def test_a_loss_is_computed_in_float32(policy):
    class Dtypes(Loss):
        def compute_loss(self, inputs, mask=None):
            assert dtype_name(inputs) == "float32"
            return inputs

    layer = Dtypes()
    x = ops.cast(np.ones((1, 2)), layer.compute_dtype)
    assert dtype_name(layer(x)) == layer.compute_dtype


@in_policies
def test_segments_of_unilm_are_counted_exactly(policy):
    segments = np.ones((1, 2060), "float32")
    seen = array(UniLMMask()(ops.convert_to_tensor(segments)))[0]
    np.testing.assert_array_equal(seen, np.tril(np.ones((2060, 2060))))


@in_policies
@pytest.mark.parametrize("size", [0.0, 1e-3, 3e4])
@pytest.mark.parametrize("zero_mean", [True, False])
def test_norms_stand_small_and_large_numbers(policy, size, zero_mean):
    layer = LayerNormalization(epsilon=1e-12, zero_mean=zero_mean)
    x = np.array([[[1.0, -1.0] * 8]])
    normalized = array(layer(ops.cast(size * x, layer.compute_dtype)))
    np.testing.assert_allclose(normalized, np.sign(size) * x, rtol=2.0**-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["softmax", "squared_relu", "softmax_plus"])
def test_attention_over_many_keys_sums_up(dtype, method):
    """300 keys are more than bfloat16 counts, and the square of their scores more than float16 holds."""
    mask = ops.convert_to_tensor(np.arange(301)[None] > 0)
    scores = ops.cast(np.full((1, 1, 301), 300.0), dtype)
    weights = array(attention_normalize(scores, mask, -1, method))[0, 0]
    expected = np.full(301, 300.0 if method == "squared_relu" else 1 / 300)
    expected[0] = 0
    np.testing.assert_allclose(weights, expected, rtol=2.0**-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("masked", [True, False])
def test_the_mean_over_many_tokens_is_exact(dtype, masked):
    x = ops.cast(np.full((1, 1030, 2), 100.0), dtype)
    mask = ops.convert_to_tensor(np.ones((1, 1030), "bool")) if masked else None
    mean = array(GlobalAveragePooling1D(dtype=dtype)(x, mask=mask))
    np.testing.assert_array_equal(mean, np.full((1, 2), 100.0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_class_is_lost_among_many(dtype):
    """log(1 + Σ e^0) of 2001 classes, where one more adds nothing in half precision."""
    none = ops.convert_to_tensor(np.zeros((1, 2001), "float32"))
    loss = array(multilabel_categorical_crossentropy(none, ops.cast(none, dtype)))
    np.testing.assert_allclose(loss, np.log([2002]), rtol=1e-6)


@in_policies
@pytest.mark.parametrize("layer", [ConditionalRandomField, MaximumEntropyMarkovModel])
def test_tagging_losses_are_computed_in_float32(policy, layer):
    """With scores and transitions that are all 0, each of 300 tokens has log 4 to lose; a CRF sums them up."""
    tagging = layer()
    tagging.build((None, 300, 4))
    tagging.set_weights([np.zeros((4, 4), "float32")])
    scores = tagging(ops.cast(np.zeros((1, 300, 4)), tagging.compute_dtype))
    loss = array(tagging.sparse_loss(ops.convert_to_tensor(np.ones((1, 300), "int32")), scores))
    tokens = 300 if layer is ConditionalRandomField else 1
    np.testing.assert_allclose(loss, tokens * np.log(4), rtol=1e-5)


# int8


def int8_rounded(weight, axis):
    """The values that a matrix has in int8 with one scale along the axis: the largest of each becomes 127.

    Keras adds its epsilon to the largest, which moves some weights that lie between two numbers to the other one.
    """
    scale = 127 / (np.abs(weight).max(axis=axis, keepdims=True) + keras.config.epsilon())
    return np.clip(np.round(weight * scale), -127, 127) / scale


def round_weights(model):
    """Give the layers that `quantize` knows the values that int8 leaves them."""
    for layer in model._flatten_layers():
        for kind, weight, axis in (
            (keras.layers.Dense, "kernel", 0),
            (keras.layers.Embedding, "embeddings", 1),
        ):
            if isinstance(layer, kind):
                variable = getattr(layer, weight)
                variable.assign(int8_rounded(ops.convert_to_numpy(variable).astype("float64"), axis))


def rms(outputs, others):
    """Root mean square of the differences, over all outputs."""
    differences = [outputs[name].ravel() - others[name].ravel() for name in outputs]
    return np.sqrt(np.square(np.concatenate(differences)).mean())


@pytest.fixture(scope="module")
def int8_outputs():
    """name → outputs of a case: as it is, with weights rounded to int8, with int8 weights, wholly in int8."""
    made = {}

    def make(name):
        if name not in made:
            library, case = open_library("bert4keras3"), CASES_BY_NAME[name]
            transformer, model = build_case(library, case)
            values = make_inputs(library, case, case.lengths[-1], transformer, model)
            values = values if len(values) > 1 else values[0]
            weight_only = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
            changes = (
                lambda: None,
                lambda: round_weights(model),
                lambda: model.quantize(config=weight_only),
                lambda: model.quantize("int8"),
            )
            made[name] = []
            for change in changes:
                transformer, model = build_case(library, case)
                load_case(transformer, case, case_weights(case))
                change()
                outputs = evaluate(library, model, values)
                made[name].append({str(i): np.asarray(one, "float64") for i, one in enumerate(outputs)})
        return made[name]

    return make


# int8 models take long to compile, so a usual run has two
QUANTIZED = [
    name if name in ("bert-mlm", "t5") else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES
]


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.skipif(not IS_KERAS_3, reason="Keras 2 has no quantize")
@pytest.mark.parametrize("name", QUANTIZED)
def test_int8_weights_are_the_rounded_ones(name, int8_outputs):
    """A twentieth of the roundings' own effect is left for weights that lie between two numbers in float32."""
    plain, rounded_weights, quantized, _ = int8_outputs(name)
    error, effect = rms(quantized, rounded_weights), rms(plain, rounded_weights)
    assert error < effect / 20, f"error {error:.1e}, effect of the rounding {effect:.1e}"


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.skipif(not IS_KERAS_3, reason="Keras 2 has no quantize")
@pytest.mark.parametrize("name", QUANTIZED)
def test_int8_products_are_as_close_as_their_roundings_allow(name, int8_outputs):
    """Inputs are rounded as well as weights, with one scale for a token's whole vector: see the bound of bfloat16."""
    plain, _, weight_only, quantized = int8_outputs(name)
    units = rms(quantized, plain) / rms(weight_only, plain)
    assert units <= BOUND, f"{units:.3g} units, expected at most {BOUND:g}"
