"""Inputs of the cases, the same on every machine: random numbers with padding, or real sentences."""

import zlib

import numpy as np

SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Attention is all you need, they said in 2017; nobody has stopped attending since.",
    "语言模型",
    "科学技术是第一生产力。",
    "A café in Zürich isn't naïve: it takes UTF-8 — and 中文 — for granted!",
    "Unaffable antidisestablishmentarianism, hyper-parameterization and 3.14159 word pieces per sentence.",
)
BATCH = 4


def random_input(name, length, vocab_size, shape, positions):
    """One input by its name: ids of tokens and segments, positions, or what comes from another model.

    Rows: a full one with the padding id in its middle, two padded rows, one row with nothing but padding.
    shape: of the model's input, None for what is free. positions: how many there are.
    """
    random = np.random.RandomState((zlib.crc32(name.encode()) + length) % 2**31)
    if name.endswith("Token"):
        tokens = random.randint(1, vocab_size, size=(BATCH, length))
        tokens[0, 3] = 0
        for row, filled in ((1, length - 2), (2, length // 2), (3, 0)):
            tokens[row, filled:] = 0
        return tokens.astype("int32")
    if name.endswith("Segment"):
        segments = np.tile(np.arange(length) >= length // 2, (BATCH, 1))
        for row, filled in ((1, length - 2), (2, length // 2), (3, 0)):
            segments[row, filled:] = 0
        return segments.astype("int32")
    if name.endswith("Position"):
        return random.randint(0, positions, size=(BATCH, length)).astype("int32")
    free = {"Input-Context": length + 2}.get(name, 3)  # of another length than the tokens
    return random.normal(size=(BATCH,) + tuple(size or free for size in shape[1:]))


def real_sentences(encode, length):
    """Token and segment ids of SENTENCES cut or padded to a length. encode: (text, maxlen) → (ids, segments)."""
    tokens = np.zeros((len(SENTENCES), length), "int32")
    for row, sentence in enumerate(SENTENCES):
        ids, _ = encode(sentence, maxlen=length)
        tokens[row, : len(ids)] = ids
    return [tokens, np.zeros_like(tokens)]
