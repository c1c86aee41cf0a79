"""Corpus: vectors of all reviews by MiniLM's real weights, in float32, bfloat16 and int8, and what the formats cost.

    python -m bench.studies.corpus sentiment.zip [--format float32 ...]     in the environment of a pairing

A linear classifier learns from the vectors of the training data; its score on the test data says what a format costs.
The vectors of float32 are the base of the cosines. `nox -s parity-jax` unpacks MiniLM.
"""

import argparse
import time
import warnings
import zipfile

import numpy as np

from bench.studies import Study
from bert4keras3.backend import keras
from bert4keras3.text_encoder import TextEncoder, unit_vectors
from parity.store import MINILM_FOLDER

MAXLEN = 512
FORMATS = ("float32", "bfloat16", "int8")
PARTS = ("train", "valid", "test")
RIDGE = 1e-2  # of the classifier


def read_reviews(path):
    """(texts, labels, part of each) of the whole archive."""
    texts, labels, parts = [], [], []
    with zipfile.ZipFile(path) as archive:
        for part in PARTS:
            for line in archive.read(f"sentiment/sentiment.{part}.data").decode("utf-8").splitlines():
                text, label = line.rsplit("\t", 1)
                texts.append(text)
                labels.append(int(label))
                parts.append(part)
    return texts, np.array(labels), np.array(parts)


def make_encoder(form):
    """MiniLM with numbers of this format."""
    keras.config.set_dtype_policy("bfloat16" if form == "bfloat16" else "float32")
    encoder = TextEncoder(MINILM_FOLDER, max_length=MAXLEN)
    keras.config.set_dtype_policy("float32")
    if form == "int8":
        with warnings.catch_warnings():  # layers without a matrix have no quantize
            warnings.simplefilter("ignore")
            encoder.packed.transformer.model.quantize("int8")
    return encoder


def count_shapes(model):
    """The set that gets the shape of each batch from now on. XLA compiles each once."""
    shapes, predict = set(), model.predict_on_batch

    def counted(inputs):
        shapes.add(inputs[0].shape)
        return predict(inputs)

    model.predict_on_batch = counted
    return shapes


def accuracy(vectors, labels, parts):
    """Share of the test data that a ridge classifier gets right."""
    vectors = np.concatenate([vectors, np.ones((len(vectors), 1))], axis=1).astype("float64")
    known, wanted = vectors[parts == "train"], 2 * labels[parts == "train"] - 1
    weights = np.linalg.solve(known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ wanted)
    return np.mean((vectors[parts == "test"] @ weights > 0) == labels[parts == "test"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", help="sentiment.zip")
    parser.add_argument("--format", action="append", choices=FORMATS, help="default: all")
    options = parser.parse_args()
    texts, labels, parts = read_reviews(options.archive)
    study, case, base = Study("corpus", 1), f"{len(texts)} reviews", None
    for form in options.format or FORMATS:
        encoder = make_encoder(form)
        shapes = count_shapes(encoder.packed.transformer.model)
        start = time.perf_counter()
        vectors = encoder.encode(texts)
        seconds = time.perf_counter() - start
        packed = encoder.packed
        study.add(case, form, "speed", packed.real_tokens / seconds, "tokens/s")
        study.add(case, form, "real tokens", 100 * packed.real_tokens / packed.computed_tokens, "%")
        study.add(case, form, "shapes", len(shapes))
        study.add(case, form, "accuracy", 100 * accuracy(vectors, labels, parts), "%")
        base = vectors if base is None else base
        cosines = np.sum(unit_vectors(vectors) * unit_vectors(base), axis=1)
        study.add(case, form, "lowest cosine", cosines.min())
    study.write()


if __name__ == "__main__":
    main()
