"""The best time of matmuls in one library: shapes in, seconds out, as JSON on standard input and output.

python -m bench.gemm torch        in an environment that has the library; roofline.py starts it
"""

import json
import sys
import time

import numpy as np

SECONDS, LEAST_CALLS = 0.15, 3  # for each shape


def numpy_matmul(left, right):
    return lambda: left @ right


def jax_matmul(left, right):
    import jax

    left, right = jax.device_put(left), jax.device_put(right)
    matmul = jax.jit(lambda a, b: jax.numpy.matmul(a, b, precision="highest"))
    return lambda: matmul(left, right).block_until_ready()


def torch_matmul(left, right):
    import torch

    from bench.implementations.torch_functions import ready, to_device

    left, right = to_device(torch.from_numpy(left)), to_device(torch.from_numpy(right))
    return ready(lambda: left @ right)


def onednn_matmul(left, right):
    import torch

    left, right = torch.from_numpy(left).to_mkldnn(), torch.from_numpy(right.T.copy()).to_mkldnn()
    bias = torch.zeros(right.shape[0]).to_mkldnn()
    return lambda: torch.nn.functional.linear(left, right, bias)


def tensorflow_matmul(left, right):
    import tensorflow as tf

    left, right = tf.constant(left), tf.constant(right)
    return lambda: tf.matmul(left, right).numpy()


LIBRARIES = {
    "numpy": numpy_matmul,
    "jax": jax_matmul,
    "torch": torch_matmul,
    "onednn": onednn_matmul,
    "tensorflow": tensorflow_matmul,
}


def best_seconds(library, shape):
    """Seconds of the fastest of some calls of (m, k) × (k, n) in float32."""
    m, k, n = shape
    random = np.random.RandomState(0)
    left, right = (random.uniform(-1, 1, size).astype("float32") for size in ((m, k), (k, n)))
    matmul = LIBRARIES[library](left, right)
    matmul()
    seconds, end = [], time.perf_counter() + SECONDS
    while len(seconds) < LEAST_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        matmul()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main():
    library = sys.argv[1]
    json.dump([best_seconds(library, shape) for shape in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
