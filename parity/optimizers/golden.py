"""What bert4keras 0.11.5 computes with its optimizers, for the library's tests: `goldens/optimizers-v1.npz` and .json
with keras 2.3.1 on TensorFlow 1.15, `optimizers-v2` with tf.keras on TensorFlow 2.2.

    TF_KERAS=0 python -m parity.optimizers.golden        in the environment tf1.15
    TF_KERAS=1 python -m parity.optimizers.golden        in the environment tf2.2

Arrays: for each case end to end the weights in float64, see cases.py; the .json has the error of the
reference's own float32 run for each variable.
"""

import numpy as np

from parity.adapter import reference_versions
from parity.optimizers.cases import CASES, SHAPES, compose, first_weights, trained
from parity.optimizers.record import steps_of_keras_2
from parity.store import GOLDENS, sha256, write_arrays, write_json
from parity.subsample import rms


def run_graph(library, case, floatx):
    """Weights of a case on keras 2.3.1, whose optimizers are a graph of updates.

    The graph leaves it to chance whether `iterations` is read before or after it is raised in the same step. Here it
    is raised after the step: the first step is number 1 for Adam, 0 for schedules, as on tf.keras.
    """
    import tensorflow as tf

    K = library.K
    K.maximum = lambda x, y: tf.maximum(tf.cast(x, floatx), tf.cast(y, floatx))  # a number is float32 there
    step, optimizer, variables = steps_of_keras_2(
        library, lambda: compose(library, library.keras, case), lambda variable, by: tf.no_op()
    )
    return trained(case, step, lambda: K.batch_get_value(variables), lambda: optimizer.apply_ema_weights())


def run_eager(library, case, floatx):
    """Weights of a case on tf.keras."""
    import tensorflow as tf

    variables = [tf.Variable(value.astype(floatx), name=name) for name, value in zip(SHAPES, first_weights())]
    optimizer = compose(library, library.keras, case)

    def step(gradients):
        optimizer.apply_gradients(zip([tf.constant(one) for one in gradients], variables))

    return trained(
        case, step, lambda: [one.numpy() for one in variables], lambda: optimizer.apply_ema_weights()
    )


def main():
    from bert4keras import backend, optimizers

    version, run = ("v2", run_eager) if backend.is_tf_keras else ("v1", run_graph)
    cases = {name: case for name, case in CASES.items() if case["version"] == version}
    results = {}
    for floatx in ("float32", "float64"):
        backend.K.set_floatx(floatx)
        for name, case in cases.items():
            results[name, floatx] = run(optimizers, case, floatx)
    arrays, noises = {}, {}
    for name in cases:
        single, double = results[name, "float32"], results[name, "float64"]
        arrays[name] = np.concatenate([double[variable] for variable in SHAPES])
        noises[name] = {variable: rms([single[variable] - double[variable]]) for variable in SHAPES}
    path = GOLDENS / (f"optimizers-{version}.npz")
    write_arrays(path, arrays)
    write_json(
        path.with_suffix(".json"),
        {"cases": cases, "noise": noises, "provenance": reference_versions(), "sha256": sha256(path)},
    )


if __name__ == "__main__":
    main()
