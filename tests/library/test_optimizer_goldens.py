"""Each optimizer and each pair of extensions against what bert4keras 0.11.5 computed, from the same gradients."""

import numpy as np
import pytest

from bert4keras3 import optimizers
from bert4keras3.backend import FLAVOUR, framework, get_values, keras, ops
from parity.adapter import open_library
from parity.compare import BOUND
from parity.kinds import KINDS_BY_NAME, verdict
from parity.optimizers import record
from parity.optimizers.cases import CASES, EXTENSIONS, KEPT, SHAPES, trained, worst_ratio
from parity.optimizers.compare import VERSIONS, expected_cases, golden_of, quick_cases, read_golden
from parity.store import GOLDENS, sha256

LIBRARY = open_library("bert4keras3")
QUICK = quick_cases(VERSIONS[FLAVOUR])
on_keras_3 = pytest.mark.skipif(
    FLAVOUR != "keras3", reason="fit of Keras 3; published scripts fit on Keras 2"
)


def record_of(name):
    """What our optimizer computes."""
    return record.record("optimizers", LIBRARY, FLAVOUR, name)


def assert_equals_the_reference(name, weights):
    assert verdict(KINDS_BY_NAME["optimizers"], name, weights).red is None


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in expected_cases("optimizers", FLAVOUR, everything=True)
    ],
)
def test_optimizer_computes_what_the_reference_does(name):
    assert_equals_the_reference(name, record_of(name))


class Given(keras.layers.Layer):
    """Holds the weights; its output, Σ weight · gradient, has the gradients that it is fed."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = record.make_variables(keras)

    def call(self, inputs):
        weights = [ops.cast(part, self.compute_dtype) for part in self.parts]
        return ops.reshape(sum(ops.sum(w * gradient) for w, gradient in zip(weights, inputs)), (1, 1))

    def compute_output_shape(self, input_shape):
        return (1, 1)


def fitted_record_of(name, dtype="float32", wrap=lambda optimizer: optimizer, **compile_arguments):
    """What `fit` computes with our optimizer, the gradients coming from a loss."""
    case = CASES[name]
    layer, optimizer = Given(dtype=dtype), record.make_optimizer(LIBRARY, case)
    inputs = [keras.layers.Input(batch_shape=(1,) + shape) for shape in SHAPES.values()]
    model = keras.models.Model(inputs, layer(inputs))
    model.compile(
        wrap(optimizer), lambda true, predicted: predicted, auto_scale_loss=False, **compile_arguments
    )
    pending = []

    def step(given):
        pending.append(given)

    def get_weights():
        if len(pending) in [later - before for before, later in zip((0,) + KEPT, KEPT)]:
            x = [np.stack(arrays) for arrays in zip(*pending)]
            model.fit(x, np.zeros((len(pending), 1)), batch_size=1, shuffle=False, verbose=0)
            pending.clear()
        return get_values(layer.parts)

    return trained(case, step, get_weights, lambda: optimizer.apply_ema_weights())


COMPOSED = [
    "v2-weight-decay-in-piecewise-linear-lr",
    "v1-weight-decay-in-layer-adaptation",
    "v2-exponential-moving-average-in-gradient-accumulation",
    "v2-lazy-optimization-in-lookahead",
    "v2-adafactor-momentum",
    "v2-lion",
]
WAYS = {
    "jit": dict(jit_compile=True),
    "several-steps": dict(steps_per_execution=4),
    "eager": dict(run_eagerly=True),
    "mixed": dict(
        dtype="mixed_float16",
        wrap=lambda optimizer: keras.optimizers.LossScaleOptimizer(optimizer, 16.0, dynamic_growth_steps=20),
    ),
}
SLOW_WAYS = ["eager"] + ["jit"] * (framework == "torch")


@on_keras_3
@pytest.mark.parametrize(
    "name, way",
    [
        pytest.param(name, way, marks=[pytest.mark.slow] * (way in SLOW_WAYS or name not in COMPOSED[:3]))
        for name in COMPOSED
        for way in WAYS
    ],
)
def test_fit_computes_what_the_reference_does(name, way):
    """Compiled, several steps in one call, in float16 under a loss scale that grows on the way."""
    if way == "several-steps" and framework == "torch":
        pytest.skip("Keras on PyTorch refuses steps_per_execution")
    assert_equals_the_reference(name, fitted_record_of(name, **WAYS[way]))


@pytest.mark.parametrize("version", VERSIONS[FLAVOUR])
def test_golden_is_of_these_cases(version):
    metadata = read_golden(version)[1]
    assert metadata["cases"] == {name: case for name, case in CASES.items() if case["version"] == version}
    assert metadata["sha256"] == sha256(GOLDENS / f"optimizers-{version}.npz")
    expected = {"v1": ("2.3.1", "1.15.5"), "v2": ("2.3.0-tf", "2.2.3")}[version]
    versions = metadata["provenance"]
    assert (versions["bert4keras"], versions["keras"], versions["tensorflow"]) == ("0.11.5",) + expected


def test_every_pair_of_extensions_has_a_case():
    names = {name[len("extend_with_") :] for name in optimizers.__all__ if name.startswith("extend_with_")}
    assert {name for name in names if not name.endswith("_v2")} == set(EXTENSIONS)
    pairs = {(case["version"],) + tuple(case["extensions"]) for case in CASES.values()}
    for version in VERSIONS[FLAVOUR]:
        for inner in EXTENSIONS:
            assert all((version, inner, outer) in pairs for outer in EXTENSIONS if outer != inner)


def test_a_wrong_optimizer_is_seen():
    """The bound bites: Keras's Adam with its other ε, a decay of another rate, a step too few."""
    version = VERSIONS[FLAVOUR][-1]
    golden = golden_of(version + "-weight-decay")
    right = record_of(version + "-weight-decay")
    assert worst_ratio(golden, right)[0] <= BOUND
    others = [one + "-weight-decay" for one in VERSIONS[FLAVOUR][:-1]]
    for wrong in [version + "-adam", version + "-weight-decay-in-piecewise-linear-lr"] + others:
        assert worst_ratio(golden, record_of(wrong))[0] > 10 * BOUND
    shifted = {name: value * (1 + 1e-5) for name, value in right.items()}
    assert worst_ratio(golden, shifted)[0] > BOUND
    assert not worst_ratio(golden, {name: value * np.nan for name, value in right.items()})[0] <= BOUND
