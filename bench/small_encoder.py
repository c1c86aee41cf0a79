"""A small encoder in NumPy, as a process that is quick to start: reports/power.py proves the statistics of speed on it.

python -m bench.small_encoder        reads "calls texts" from each line, and writes the seconds of the fastest call
"""

import sys
import time

import numpy as np

TOKENS, HIDDEN, HEADS, LAYERS = 8, 32, 4, 1


def softmax(scores):
    exponents = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def normalize(x):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)


def attention(x, query, key, value, output):
    heads = [(x @ one).reshape(TOKENS, HEADS, -1).transpose(1, 0, 2) for one in (query, key, value)]
    scores = heads[0] @ heads[1].transpose(0, 2, 1) / np.sqrt(np.float32(HIDDEN / HEADS))
    return (softmax(scores) @ heads[2]).transpose(1, 0, 2).reshape(TOKENS, HIDDEN) @ output


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.float32(0.79788456) * (x + np.float32(0.044715) * x**3)))


def encoder(x, layers):
    """Hidden states (tokens, hidden) of the last layer."""
    for *projections, first, second in layers:
        x = normalize(x + attention(x, *projections))
        x = normalize(x + gelu(x @ first) @ second)
    return x


def make_weights():
    random = np.random.RandomState(0)
    shapes = [(HIDDEN, HIDDEN)] * 4 + [(HIDDEN, 4 * HIDDEN), (4 * HIDDEN, HIDDEN)]
    return [[random.normal(0, 0.1, shape).astype("float32") for shape in shapes] for _ in range(LAYERS)]


def seconds(calls, texts, layers, x):
    """The seconds of each call, which encodes some texts one by one."""
    found = []
    for _ in range(calls):
        start = time.perf_counter()
        for _ in range(texts):
            encoder(x, layers)
        found.append(time.perf_counter() - start)
    return found


def main():
    layers = make_weights()
    x = np.random.RandomState(1).normal(size=(TOKENS, HIDDEN)).astype("float32")
    for line in iter(sys.stdin.readline, ""):
        calls, texts = map(int, line.split())
        seconds(1, texts, layers, x)  # other processes have used the caches
        print(min(seconds(calls, texts, layers, x)), flush=True)


if __name__ == "__main__":
    main()
