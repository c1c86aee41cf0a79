"""Each optimizer and each pair of extensions against what bert4keras 0.11.5 computed, from the same gradients."""

import numpy as np
import pytest

from bert4keras3 import optimizers
from bert4keras3.backend import FLAVOUR, K, framework, get_values, keras, ops
from parity.compare import BOUND
from parity.optimizers.cases import CASES, EXTENSIONS, KEPT, SHAPES, first_weights, trained, worst_ratio
from parity.store import GOLDENS, read_arrays, read_json, sha256

# On Keras 2 ours compute what the reference computes there, on Keras 3 both.
VERSIONS = {"keras2": ("v1",), "tf_keras": ("v2",), "keras3": ("v1", "v2")}[FLAVOUR]
NAMES = [name for name, case in CASES.items() if case["version"] in VERSIONS]
on_keras_3 = pytest.mark.skipif(
    FLAVOUR != "keras3", reason="fit of Keras 3; published scripts fit on Keras 2"
)
PATHS = {version: GOLDENS / (f"optimizers-{version}.npz") for version in VERSIONS}
METADATA = {version: read_json(path.with_suffix(".json")) for version, path in PATHS.items()}
ARRAYS = {version: read_arrays(path) for version, path in PATHS.items()}
# Each extension alone, and pairs in which the order matters; the others are slow.
QUICK = [name for name in NAMES if "-in-" not in name and not name.endswith("-pull")]
QUICK += [
    version + pair
    for version in VERSIONS
    for pair in (
        "-weight-decay-in-piecewise-linear-lr",
        "-piecewise-linear-lr-in-weight-decay",
        "-gradient-accumulation-in-lazy-optimization",
        "-lookahead-in-weight-decay",
        "-lookahead-in-gradient-accumulation",
        "-exponential-moving-average-in-gradient-accumulation",
    )
]


def make_optimizer(case):
    if case["base"].startswith("keras."):
        made = getattr(keras.optimizers, case["base"][len("keras.") :])
    else:
        made = getattr(optimizers, case["base"])
    for extension in case["extensions"]:
        suffix = "_v2" if case["version"] == "v2" else ""
        made = getattr(optimizers, "extend_with_" + extension + suffix)(made)
    return made(**case["arguments"])


def make_variables():
    variables = []
    for path, value in zip(SHAPES, first_weights()):
        layer, name = path.split("/")
        with keras.name_scope(layer):
            variables.append(keras.Variable(value, name=name))
        assert variables[-1].path == path
    return variables


def golden_of(name):
    version = CASES[name]["version"]
    parts = len(KEPT) + ("exponential_moving_average" in CASES[name]["extensions"])
    sizes = [parts * int(np.prod(shape)) for shape in SHAPES.values()]
    values = np.split(ARRAYS[version][name], np.cumsum(sizes))
    assert len(values) == len(SHAPES) + 1 and not len(values[-1])
    golden = dict(zip(SHAPES, values))
    golden.update(
        {variable + "@noise": noise for variable, noise in METADATA[version]["noise"][name].items()}
    )
    return golden


def steps_of_keras_3(name):
    """A step with gradients, as a training loop of one's own makes it, the optimizer, and the variables."""
    variables, optimizer = make_variables(), make_optimizer(CASES[name])
    optimizer.build(variables)

    def step(gradients):
        optimizer.apply([ops.convert_to_tensor(one) for one in gradients], variables)

    return step, optimizer, variables


def steps_of_tf_keras(name):
    """The same in eager mode or, on TensorFlow 1.15, in a graph."""
    import tensorflow as tf

    K.clear_session()
    optimizer = make_optimizer(CASES[name])
    variables = [K.variable(value, name=path) for path, value in zip(SHAPES, first_weights())]
    if tf.executing_eagerly():
        return (
            lambda given: optimizer.apply_gradients(list(zip(map(tf.constant, given), variables))),
            optimizer,
            variables,
        )
    given = [K.placeholder(shape=shape) for shape in SHAPES.values()]
    updates = [optimizer.apply_gradients(list(zip(given, variables)))]
    step = K.function(given, [tf.zeros(())], updates=updates)
    return step, optimizer, variables


def steps_of_keras_2(name):
    """The same in a graph that leaves the counter alone, as golden_optimizers.py does: it is raised after the step."""
    K.clear_session()
    optimizer, variables = (
        make_optimizer(CASES[name]),
        [K.variable(value, name=path) for path, value in zip(SHAPES, first_weights())],
    )

    @K.symbolic
    def make_step():
        given = [K.placeholder(shape=shape) for shape in SHAPES.values()]
        loss = sum(K.sum(variable * gradient) for variable, gradient in zip(variables, given))
        return K.function(given, [loss], updates=optimizer.get_updates(loss=loss, params=variables))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(K, "update_add", lambda variable, by: K.update(variable, variable + 0))
        run = make_step()

    def step(gradients):
        run(gradients)
        K.set_value(optimizer.iterations, K.get_value(optimizer.iterations) + 1)

    return step, optimizer, variables


def record_of(name):
    """What our optimizer computes."""
    steps = {"keras2": steps_of_keras_2, "tf_keras": steps_of_tf_keras, "keras3": steps_of_keras_3}[FLAVOUR]
    step, optimizer, variables = steps(name)
    return trained(CASES[name], step, lambda: get_values(variables), lambda: optimizer.apply_ema_weights())


def assert_equals_the_reference(name, record):
    ratio, worst = worst_ratio(golden_of(name), record)
    assert ratio <= BOUND, f"{name}, {worst}: error ratio {ratio:.3g}, expected at most {BOUND:g}"


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_optimizer_computes_what_the_reference_does(name):
    assert_equals_the_reference(name, record_of(name))


class Given(keras.layers.Layer):
    """Holds the weights; its output, Σ weight · gradient, has the gradients that it is fed."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = make_variables()

    def call(self, inputs):
        weights = [ops.cast(part, self.compute_dtype) for part in self.parts]
        return ops.reshape(sum(ops.sum(w * gradient) for w, gradient in zip(weights, inputs)), (1, 1))

    def compute_output_shape(self, input_shape):
        return (1, 1)


def fitted_record_of(name, dtype="float32", wrap=lambda optimizer: optimizer, **compile_arguments):
    """What `fit` computes with our optimizer, the gradients coming from a loss."""
    case = CASES[name]
    layer, optimizer = Given(dtype=dtype), make_optimizer(case)
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


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_is_of_these_cases(version):
    metadata = METADATA[version]
    assert metadata["cases"] == {name: case for name, case in CASES.items() if case["version"] == version}
    assert metadata["sha256"] == sha256(PATHS[version])
    expected = {"v1": ("2.3.1", "1.15.5"), "v2": ("2.3.0-tf", "2.2.3")}[version]
    versions = metadata["provenance"]
    assert (versions["bert4keras"], versions["keras"], versions["tensorflow"]) == ("0.11.5",) + expected


def test_every_pair_of_extensions_has_a_case():
    names = {name[len("extend_with_") :] for name in optimizers.__all__ if name.startswith("extend_with_")}
    assert {name for name in names if not name.endswith("_v2")} == set(EXTENSIONS)
    pairs = {(case["version"],) + tuple(case["extensions"]) for case in CASES.values()}
    for version in VERSIONS:
        for inner in EXTENSIONS:
            assert all((version, inner, outer) in pairs for outer in EXTENSIONS if outer != inner)


def test_a_wrong_optimizer_is_seen():
    """The bound bites: Keras's Adam with its other ε, a decay of another rate, a step too few."""
    version = VERSIONS[-1]
    golden = golden_of(version + "-weight-decay")
    right = record_of(version + "-weight-decay")
    assert worst_ratio(golden, right)[0] <= BOUND
    others = [one + "-weight-decay" for one in VERSIONS[:-1]]
    for wrong in [version + "-adam", version + "-weight-decay-in-piecewise-linear-lr"] + others:
        assert worst_ratio(golden, record_of(wrong))[0] > 10 * BOUND
    shifted = {name: value * (1 + 1e-5) for name, value in right.items()}
    assert worst_ratio(golden, shifted)[0] > BOUND
    assert not worst_ratio(golden, {name: value * np.nan for name, value in right.items()})[0] <= BOUND
