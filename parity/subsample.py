"""Which numbers of an array are kept, and how they are compared. Golden and record use the same functions."""

import numpy as np

LAYER_SAMPLE = 96
GRADIENT_SAMPLE = 32
# Errors in gradients of real weights are heavy-tailed: 32 of 147456 numbers showed a ratio of 4.0 where all of them
# have 1.4; 512 show 1.5.
LARGE_GRADIENT, LARGE_GRADIENT_SAMPLE = 16384, 512
OUTPUT_SAMPLE = 2048


def sample(array, limit):
    """All of a small array, flat; of a larger one `limit` entries, the same on every machine."""
    array = np.asarray(array).reshape(-1)
    if array.size <= limit:
        return array
    return array[np.random.RandomState(array.size % 2**31).randint(0, array.size, limit)]


def sample_arrays(arrays):
    """A record or golden whose layers and gradients are subsampled; its outputs keep all numbers."""

    def limit(name, value):
        kind = name.split("/")[1]
        if kind == "gradient":
            return GRADIENT_SAMPLE if value.size <= LARGE_GRADIENT else LARGE_GRADIENT_SAMPLE
        return LAYER_SAMPLE if kind == "layer" else None

    limits = {name: limit(name, value) for name, value in arrays.items()}
    return {name: sample(value, limits[name]) if limits[name] else value for name, value in arrays.items()}


def sample_output(array, tokens):
    """The numbers of an output that are compared, without padding if it has the axes of tokens, (batch, length)."""
    return sample(unpadded(array, tokens), OUTPUT_SAMPLE)


def unpadded(array, tokens):
    return array[seen(tokens)] if array.shape[:2] == tokens.shape else array


def unpadded_places(shape, seen):
    """Ones where an output of this shape counts, zeros at padding. seen: (batch, length), False for padding."""
    places = np.ones(shape)
    if shape[:2] == seen.shape:
        places[~seen] = 0
    return places


def seen(tokens):
    """True for tokens that are no padding, (batch, length); the first is never masked."""
    kept = tokens != 0
    kept[:, 0] = True
    return kept


def is_distribution(array):
    """Whether the last axis holds probabilities, whose relative error counts."""
    if array.ndim < 2 or array.shape[-1] < 2 or array.dtype.kind != "f":
        return False
    return bool((array >= 0).all() and np.allclose(array.sum(-1), 1, atol=1e-4))


def judged(array, is_probability):
    """The numbers that are subtracted, in float64; of probabilities their logarithms."""
    array = np.asarray(array, "float64")
    return np.log(np.maximum(array, 1e-30)) if is_probability else array


def rms(arrays):
    """Root mean square over all numbers of several arrays."""
    return float(np.sqrt(np.mean(np.square(np.concatenate([np.ravel(array) for array in arrays])))))
