"""Which numbers of an array are kept and how they are judged, the same for golden and record."""

import numpy as np

LAYER_SAMPLE = 128
OUTPUT_SAMPLE = 4096


def sample(array, limit):
    """All of a small array, flat; of a larger one `limit` entries, the same on every machine."""
    array = np.asarray(array).reshape(-1)
    if array.size <= limit:
        return array
    return array[np.random.RandomState(array.size % 2**31).randint(0, array.size, limit)]


def sample_output(array, tokens):
    """What is compared of an output: of tokens that are no padding, where it has a token axis; else of all."""
    if array.shape[:2] == tokens.shape:
        kept = tokens != 0
        kept[:, 0] = True  # the first token is never masked
        array = array[kept]
    return sample(array, OUTPUT_SAMPLE)


def is_distribution(array):
    """Whether the last axis holds probabilities, which are judged relatively."""
    if array.ndim < 2 or array.shape[-1] < 2 or array.dtype.kind != "f":
        return False
    return bool((array >= 0).all() and np.allclose(array.sum(-1), 1, atol=1e-4))
