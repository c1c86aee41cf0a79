"""Inputs of the cases, the same on every machine: random ids with padding, or real sentences."""

import numpy as np

SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Attention is all you need, they said in 2017; nobody has stopped attending since.",
    "语言模型",
    "科学技术是第一生产力。",
    "A café in Zürich isn't naïve: it takes UTF-8 — and 中文 — for granted!",
    "Unaffable antidisestablishmentarianism, hyper-parameterization and 3.14159 word pieces per sentence.",
)


def random_ids(case, length, vocab_size):
    """Token and segment ids (and position ids): a full row, two padded ones, one of padding alone."""
    random = np.random.RandomState(length)
    tokens = random.randint(1, vocab_size, size=(4, length))
    segments = np.tile((np.arange(length) >= length // 2).astype("int64"), (4, 1))
    tokens[0, 3] = 0  # the padding id in the middle
    for row, filled in ((1, length - 2), (2, length // 2), (3, 0)):
        tokens[row, filled:] = 0
        segments[row, filled:] = 0
    inputs = [tokens]
    if case.arguments.get("segment_vocab_size", 2) > 0:
        inputs.append(segments)
    if case.arguments.get("custom_position_ids"):
        limit = 40 if case.arguments.get("hierarchical_position") else 12
        inputs.append(random.randint(0, limit, size=(4, length)))
    if case.build in ("condition", "condition_hidden"):
        inputs.append(random.normal(size=(4, 6)))
    if case.build == "attention_caches":
        inputs += [random.normal(size=(4, 3, 32)), random.normal(size=(4, 3, 32))]
    return [array if array.dtype.kind == "f" else array.astype("int32") for array in inputs]


def real_sentences(encode, length):
    """Token and segment ids of SENTENCES cut or padded to a length. encode: (text, maxlen) → (ids, segments)."""
    tokens = np.zeros((len(SENTENCES), length), "int32")
    for row, sentence in enumerate(SENTENCES):
        ids, _ = encode(sentence, maxlen=length)
        tokens[row, : len(ids)] = ids
    return [tokens, np.zeros_like(tokens)]
