"""What bert4keras 0.11.5 computes with single layers and backend functions, for the library's tests in every pairing.

In the environment of the reference: `python -m parity.golden_layers`. It writes `goldens/layers.npz` (inputs, weights
and float64 outputs) and `goldens/layers.json` (the cases, and the error of the float32 reference for each output).
"""

import platform
import zlib

import numpy as np

from parity.files import GOLDENS, sha256, write_arrays, write_json
from parity.layer_cases import CASES, Library, compute, draw_inputs
from parity.sampling import rms


def reference(floatx):
    """bert4keras, computing in float32 or float64."""
    import bert4keras
    import tensorflow
    from bert4keras import backend, layers

    backend.K.set_floatx(floatx)
    backend.K.one_hot = lambda x, classes: tensorflow.one_hot(x, classes, dtype=floatx)  # float32 in Keras
    assert bert4keras.__version__ == "0.11.5"
    return Library(
        keras=backend.keras,
        layers=layers,
        backend=backend,
        Layer=layers.Layer,
        to_tensor=backend.K.constant,
        to_bool=lambda x: backend.K.cast(x, "bool"),
        evaluate=lambda tensors: backend.K.get_session().run(tensors),
        floatx=floatx,
    )


def draw_weights(case_name):
    """Function of a layer: random values of real size for its weights, the same for one case every time."""

    def draw(made):
        random = np.random.RandomState(zlib.crc32(case_name.encode()))
        values = []
        for weight, value in zip(made.weights, made.get_weights()):
            drawn = random.normal(size=value.shape)
            if value.ndim > 1:
                drawn = drawn / value.shape[0] ** 0.5
            elif "gamma" in weight.name:
                drawn = 1 + 0.15 * drawn
            values.append((0.3 * drawn if value.ndim == 1 and "gamma" not in weight.name else drawn).astype("float32"))
        draw.drawn = values
        return values

    draw.drawn = []
    return draw


def main():
    inputs = draw_inputs()
    arrays = {"input/" + name: value for name, value in inputs.items()}
    noises = {}
    single = reference("float32")
    singles = {}
    for name, case in CASES.items():
        weights = draw_weights(name)
        singles[name] = compute(single, case, inputs, weights)
        single.backend.K.clear_session()  # cases in one graph would slow each other down
        for i, value in enumerate(weights.drawn):
            arrays["%s/weight/%d" % (name, i)] = value
    double = reference("float64")
    for name, case in CASES.items():
        outputs = compute(double, case, inputs, draw_weights(name))
        double.backend.K.clear_session()
        for i, output in enumerate(outputs):
            arrays["%s/output/%d" % (name, i)] = output
            noises.setdefault(name, []).append(noise(singles[name][i], output))
    write_arrays(GOLDENS / "layers.npz", arrays)
    write_json(
        GOLDENS / "layers.json",
        {
            "cases": CASES,
            "noise": noises,
            "provenance": describe_environment(),
            "sha256": sha256(GOLDENS / "layers.npz"),
        },
    )


def noise(single, double):
    """rms(float32 − float64) where the reference is finite."""
    finite = np.isfinite(double)
    return rms([np.asarray(single, "float64")[finite] - double[finite]]) if finite.any() else 0.0


def describe_environment():
    import bert4keras
    import keras
    import tensorflow

    return {
        "bert4keras": bert4keras.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "tensorflow": tensorflow.__version__,
    }


if __name__ == "__main__":
    main()
