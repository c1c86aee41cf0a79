"""What bert4keras 0.11.5 computes with single layers and backend functions, for the library's tests in every pairing.

In the environment of the reference: `python -m parity.layers.golden`. It writes `goldens/layers.npz` (inputs, and
end to end the weights and float64 outputs of the cases in the order of their names) and `goldens/layers.json` (the
cases, and for each output the error of the float32 reference: of few numbers, so taken from several draws).
"""

import zlib

import numpy as np

from parity.adapter import listed, reference_versions
from parity.layers.cases import CASES, Library, compute, draw_inputs
from parity.store import GOLDENS, sha256, write_arrays, write_json
from parity.subsample import rms

DRAWS = 4


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
        predict=lambda model, values: listed(model.predict_on_batch(values)),
        floatx=floatx,
    )


def draw_weights(seed):
    """Function of a layer: random values of real size for its weights, the same for one seed every time."""

    def draw(made):
        random = np.random.RandomState(seed)
        draw.drawn = []
        for weight, value in zip(made.weights, made.get_weights()):
            drawn = random.normal(size=value.shape)
            if value.ndim > 1:
                drawn = drawn / value.shape[0] ** 0.5
            else:
                drawn = 1 + 0.15 * drawn if "gamma" in weight.name else 0.3 * drawn
            draw.drawn.append(drawn.astype("float32"))
        return draw.drawn

    draw.drawn = []
    return draw


def compute_all(floatx):
    """{(case, draw): (outputs, weights)}"""
    library, results = reference(floatx), {}
    for draw in range(DRAWS):
        inputs = draw_inputs(draw)
        for name, case in CASES.items():
            weights = draw_weights(zlib.crc32(name.encode()) + draw)
            outputs = compute(library, case, inputs, weights)
            library.backend.K.clear_session()  # cases in one graph would slow each other down
            results[name, draw] = outputs, weights.drawn
    return results


def main():
    singles, doubles = compute_all("float32"), compute_all("float64")
    arrays = {"input/" + name: value for name, value in draw_inputs(0).items()}
    shapes, noises, outputs, weights = {}, {}, [], []
    for name in sorted(CASES):
        kept, drawn = doubles[name, 0]
        shapes[name] = {"outputs": describe_shapes(kept), "weights": describe_shapes(drawn)}
        noises[name] = []
        for i, one in enumerate(kept):
            pairs = [(singles[name, draw][0][i], doubles[name, draw][0][i]) for draw in range(DRAWS)]
            noises[name].append(rms([relative_noise(*pair) for pair in pairs]) * finite_rms(one, one))
        outputs += [one.ravel() for one in kept]
        weights += [one.ravel() for one in drawn]
    arrays["outputs"], arrays["weights"] = np.concatenate(outputs), np.concatenate(weights)
    write_arrays(GOLDENS / "layers.npz", arrays)
    content = dict(cases=CASES, shapes=shapes, noise=noises, provenance=reference_versions())
    write_json(GOLDENS / "layers.json", dict(content, sha256=sha256(GOLDENS / "layers.npz")))


def describe_shapes(arrays):
    """Shapes in short: "5 5 6"."""
    return [" ".join(str(size) for size in one.shape) for one in arrays]


def finite_rms(values, golden):
    """rms where the golden is finite."""
    finite = np.isfinite(golden)
    return rms([np.asarray(values, "float64")[finite]]) if finite.any() else 0.0


def relative_noise(single, double):
    """rms(float32 − float64) ÷ rms(float64)"""
    with np.errstate(invalid="ignore"):
        error = finite_rms(np.asarray(single, "float64") - double, double)
    return error / max(finite_rms(double, double), 1e-30)


if __name__ == "__main__":
    main()
