"""The best time of matrix products in one library: shapes in, seconds out, as JSON on standard input and output.

python -m bench.gemm torch        in an environment that has it; started by limit.py
"""

import json
import sys
import time

import numpy as np

SECONDS, LEAST_CALLS = 0.15, 3  # for each shape


def numpy_product(left, right):
    return lambda: left @ right


def jax_product(left, right):
    import jax

    left, right = jax.device_put(left), jax.device_put(right)
    product = jax.jit(lambda a, b: jax.numpy.matmul(a, b, precision="highest"))
    return lambda: product(left, right).block_until_ready()


def torch_product(left, right):
    import torch

    from bench.subjects.torch_functions import ready, to_device

    left, right = to_device(torch.from_numpy(left)), to_device(torch.from_numpy(right))
    return ready(lambda: left @ right)


def onednn_product(left, right):
    import torch

    left, right = torch.from_numpy(left).to_mkldnn(), torch.from_numpy(right.T.copy()).to_mkldnn()
    bias = torch.zeros(right.shape[0]).to_mkldnn()
    return lambda: torch.nn.functional.linear(left, right, bias)


def tensorflow_product(left, right):
    import tensorflow as tf

    left, right = tf.constant(left), tf.constant(right)
    return lambda: tf.matmul(left, right).numpy()


LIBRARIES = {
    "numpy": numpy_product,
    "jax": jax_product,
    "torch": torch_product,
    "onednn": onednn_product,
    "tensorflow": tensorflow_product,
}


def best_seconds(library, shape):
    """The quickest of some calls of (m, k) × (k, n) in float32."""
    m, k, n = shape
    random = np.random.RandomState(0)
    product = LIBRARIES[library](
        random.uniform(-1, 1, (m, k)).astype("float32"), random.uniform(-1, 1, (k, n)).astype("float32")
    )
    product()
    seconds, end = [], time.perf_counter() + SECONDS
    while len(seconds) < LEAST_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main():
    library = sys.argv[1]
    json.dump([best_seconds(library, shape) for shape in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
