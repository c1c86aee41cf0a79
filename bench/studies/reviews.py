"""Reviews: vectors of real texts of all lengths, from strings, by TextEncoder and by `predict`.

    python -m bench.studies.reviews sentiment.zip [--texts 128] [--rounds 3]     in the environment of a pairing

BERT-base with random weights and the characters of the reviews as its vocabulary. Each candidate gives the vector of
[CLS] of each text; all are compared with the first. Its figure is real tokens a second.

TextEncoder is measured in bfloat16 and int8 too; the cosine to float32 of their vectors is a row. If
sentence-transformers is installed beside PyTorch, it is a candidate with the same weights: `save_pretrained` writes its
folder. The roofline is that of bench/roofline.py, for as many texts of the mean length.
"""

import argparse
import importlib.util
import tempfile
from collections import Counter

import numpy as np

from bench.roofline import Roofline
from bench.scenarios import CALL, Scenario
from bench.studies import Study, interleave, ratio_to, read_reviews, timed
from bench.studies.formats import build_in_format
from bert4keras3.backend import framework
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import predict_in_buckets, sequence_padding
from bert4keras3.text_encoder import TextEncoder, unit_vectors
from bert4keras3.tokenizers import Tokenizer
from parity.models.releases import BY_NAME

BATCH = 32
MAXLEN = 512
PACKED, BATCHES, SORTED, BUCKETS = "TextEncoder", "predict, in order", "predict, sorted", "predict_in_buckets"
PEER, ROOFLINE = "sentence-transformers", "roofline"
FORMATS = {"TextEncoder, bfloat16": "bfloat16", "TextEncoder, int8": "int8 matmuls"}


def first_texts(archive, count):
    """The first texts of the training data."""
    return [text for text, _ in read_reviews(archive, "train")[:count]]


def make_tokenizer(texts, size):
    """The characters of the texts as a vocabulary."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokens += [character for character, _ in Counter("".join(texts).lower()).most_common(size - len(tokens))]
    return Tokenizer({token: i for i, token in enumerate(tokens)}, do_lower_case=True)


def candidates_of(transformer, tokenizer, texts):
    """{candidate: () → vectors of the texts in their order}"""
    encoder = TextEncoder(transformer, tokenizer, max_length=MAXLEN)

    def tokenized():
        return [tokenizer.encode(text, maxlen=MAXLEN)[0] for text in texts]

    def predict(order, ids):
        vectors = [None] * len(ids)
        for start in range(0, len(ids), BATCH):
            chosen = order[start : start + BATCH]
            tokens = sequence_padding([ids[i] for i in chosen])
            for i, vector in zip(chosen, transformer.model.predict_on_batch([tokens, tokens * 0])):
                vectors[i] = np.asarray(vector)[0]
        return np.array(vectors)

    def sorted_by_length():
        ids = tokenized()
        return predict(np.argsort([len(one) for one in ids], kind="stable"), ids)

    def in_buckets():
        tokens = sequence_padding(tokenized())
        return predict_in_buckets(transformer.model, [tokens, tokens * 0], batch_size=BATCH)[:, 0]

    candidates = {PACKED: lambda: encoder.encode(texts, show_progress=False), BUCKETS: in_buckets}
    candidates.update({BATCHES: lambda: predict(range(len(texts)), tokenized()), SORTED: sorted_by_length})
    return encoder, candidates


def sentence_transformers(transformer, tokenizer):
    """`encode` of sentence-transformers for this transformer; its weights go through a folder."""
    from sentence_transformers import SentenceTransformer, models

    with tempfile.TemporaryDirectory() as folder:
        transformer.save_pretrained(folder, tokenizer=tokenizer)
        modules = [models.Transformer(folder, max_seq_length=MAXLEN), models.Pooling(768, pooling_mode="cls")]
        peer = SentenceTransformer(modules=modules, device="cpu")
    return lambda texts: peer.encode(texts, batch_size=BATCH, show_progress_bar=False)


def encode_in_format(form, release, weights, tokenizer, texts):
    """() → vectors of the texts, by a model in this format; see formats.py."""

    def build():
        transformer = build_transformer_model(**release.config, return_keras_model=False)
        transformer.model.set_weights(weights)
        return transformer

    transformer = build_in_format(form, build, lambda one: one.model)
    encoder = TextEncoder(transformer, tokenizer, max_length=MAXLEN)
    return lambda: encoder.encode(texts, show_progress=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", help="sentiment.zip")
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--candidate", action="append", help="default: all")
    options = parser.parse_args()
    texts = first_texts(options.archive, options.texts)
    release = BY_NAME["bert_base"]
    transformer = build_transformer_model(**release.config, return_keras_model=False)
    tokenizer = make_tokenizer(texts, release.config["vocab_size"])
    tokens = sum(len(tokenizer.encode(text, maxlen=MAXLEN)[0]) for text in texts)
    encoder, candidates = candidates_of(transformer, tokenizer, texts)
    if framework == "torch" and importlib.util.find_spec("sentence_transformers"):
        encode = sentence_transformers(transformer, tokenizer)
        candidates[PEER] = lambda: encode(texts)
    weights = transformer.model.get_weights()
    for name, form in FORMATS.items():
        if name in (options.candidate or FORMATS):
            candidates[name] = encode_in_format(form, release, weights, tokenizer, texts)
    candidates = {name: one for name, one in candidates.items() if name in (options.candidate or candidates)}
    study, case = Study("reviews", options.rounds), f"{len(texts)} reviews"
    scenario = Scenario(case, release, {}, len(texts), round(tokens / len(texts)), (CALL,))
    seconds = Roofline([scenario]).seconds(scenario, CALL)
    study.add(case, ROOFLINE, "tokens", scenario.batch * scenario.length / seconds, "tokens/s")
    expected = encoder.encode(texts, show_progress=False)
    for name, candidate in candidates.items():
        vectors = candidate()
        if name in FORMATS:
            cosines = np.sum(unit_vectors(vectors) * unit_vectors(expected), axis=1)
            study.add(case, name, "lowest cosine", cosines.min())
        else:
            assert np.abs(vectors - expected).max() < 1e-3, name
    seconds = interleave({name: timed(one) for name, one in candidates.items()}, options.rounds, warm_up=0)
    for name, values in seconds.items():
        against = ratio_to(seconds[PACKED], values, PACKED) if name != PACKED and PACKED in seconds else {}
        study.add(case, name, "tokens", tokens / np.median(values), "tokens/s", **against)
    packed = encoder.packed
    study.add(case, PACKED, "real tokens", packed.real_tokens / packed.computed_tokens)
    study.write()


if __name__ == "__main__":
    main()
