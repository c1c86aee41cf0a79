"""Single layers and backend functions against what bert4keras 0.11.5 computed, with its weights."""

import numpy as np
import pytest

from bert4keras3 import backend, layers, ops
from bert4keras3.backend import K, Layer, keras
from parity.compare import BOUND, FLOOR
from parity.layers.cases import CASES, Library, compute
from parity.store import GOLDENS, read_arrays, read_json, sha256
from parity.subsample import rms

pytestmark = pytest.mark.usefixtures("fresh_session")
METADATA, ARRAYS = read_json(GOLDENS / "layers.json"), read_arrays(GOLDENS / "layers.npz")
INPUTS = {name[len("input/") :]: value for name, value in ARRAYS.items() if name.startswith("input/")}


def evaluate(tensors):
    if hasattr(keras, "ops"):
        return [keras.ops.convert_to_numpy(tensor) for tensor in tensors]
    if hasattr(tensors[0], "numpy"):
        return [tensor.numpy() for tensor in tensors]
    return K.get_session().run(tensors)


LIBRARY = Library(
    keras=keras,
    layers=layers,
    backend=backend,
    Layer=Layer,
    to_tensor=ops.convert_to_tensor,
    to_bool=lambda x: ops.cast(x, "bool"),
    evaluate=evaluate,
    floatx="float32",
)


def split(kind):
    """{case: its arrays}, from one array that holds all end to end."""
    found, place = {}, 0
    for name in sorted(METADATA["shapes"]):
        found[name] = []
        for shape in METADATA["shapes"][name][kind]:
            shape = [int(size) for size in shape.split()]
            size = int(np.prod(shape))
            found[name].append(ARRAYS[kind][place : place + size].reshape(shape))
            place += size
    assert place == len(ARRAYS[kind])
    return found


WEIGHTS, OUTPUTS = split("weights"), split("outputs")


@pytest.mark.parametrize("name", sorted(CASES))
def test_layer_computes_what_the_reference_does(name):
    case = METADATA["cases"][name]
    outputs = compute(LIBRARY, case, INPUTS, WEIGHTS[name])
    goldens = OUTPUTS[name]
    assert len(outputs) == len(goldens) > 0
    for number, (output, golden, noise) in enumerate(zip(outputs, goldens, METADATA["noise"][name])):
        assert output.shape == golden.shape
        assert not np.isnan(output).any()
        infinite = np.isinf(golden)
        np.testing.assert_array_equal(output[infinite], golden[infinite])
        finite = np.isfinite(golden)
        assert finite.any()
        error = rms([output[finite].astype("float64") - golden[finite]])
        ratio = error / max(noise, FLOOR * rms([golden[finite]]), np.finfo("float32").tiny)
        assert ratio <= BOUND, f"{name}, output {number}: error ratio {ratio:.3g}, expected at most {BOUND:g}"


def test_golden_is_of_these_cases():
    assert METADATA["cases"] == CASES
    assert METADATA["sha256"] == sha256(GOLDENS / "layers.npz")


def test_every_layer_of_ours_has_a_case():
    """Those that bert4keras has too. Layer is their base, a Loss computes nothing, models cover the others."""
    covered = {case["layer"] for case in CASES.values() if "layer" in case}
    classes = {
        name: item for name, item in vars(layers).items() if isinstance(item, type) and name in layers.__all__
    }
    ours = {name for name, item in classes.items() if item.__module__.startswith("bert4keras3")}
    assert ours - covered == {
        "Add",
        "CausalMask",
        "Dropout",
        "FirstToken",
        "LastToken",
        "Layer",
        "Loss",
        "UniLMMask",
    }
