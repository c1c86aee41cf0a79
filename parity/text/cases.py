"""Calls of the tokenizers and snippets, and what a library returns for them.

The golden and the record come from the same functions, so that they differ only in the library. All characters here
have had their Unicode category since Unicode 11, the data of Python 3.7.
"""

import functools
import itertools
import json
import re
from pathlib import Path

import numpy as np

from parity.store import GOLDENS, read_json
from parity.text.snippet_scenarios import SCENARIOS

TEXTS = read_json(Path(__file__).with_name("texts.json"))

# name → arguments of Tokenizer besides the vocabulary; pre_tokenize is the regular expression of its words
TOKENIZERS = {
    "lower": {"do_lower_case": True},
    "cased": {},
    "no_end": {"do_lower_case": True, "token_end": None},
    "short_words": {"do_lower_case": True, "word_maxlen": 6},
    "words": {"do_lower_case": True, "pre_tokenize": "北京大?学?|你好|中国|[A-Za-z']+ ?|\\s+|."},
    "translated": {"do_lower_case": True, "token_translate": {"the": "[unused1]", ",": "[unused2]", "a": ""}},
}

PAIRS = [
    ("Hello, world!", None),
    ("The quick brown fox jumps over the lazy dog.", "中国的首都是北京。"),
    ("a", "play playing played player players replay"),
    ("你好，世界！", ""),
    (["[CLS]", "the", "##re", "nowhere", "[SEP]"], ["[CLS]", "dog", ".", "[SEP]"]),
]
MAXLENS = [None, 0, 1, 2, 5, 8, 13]
PATTERNS = ["S*E*E", "S*ES*E"]
TRUNCATIONS = ["right", "left", 0, -3, [1, -2]]

TOKEN_LISTS = [
    ["##ing", "is", "a", "##n", "end"],
    ["中", "国", "abc", "国", ",", "国", "。", "x"],
    ["3", ".", "14", "1", ".", "2", ".", "3"],
    ["it", "'", "s", "i", "'", "ll", "y", "'", "all", "'", "re", "done"],
    ["(", "a", "[", "b", "]", "c", ")", "<", "d", ">", "{", "e", "}", "-", "f", "/", "g", "=", "h", "+", "i"],
    ["[CLS]", "[MASK]", "[", "]", "[]", "[unused1]", "[SEP]"],
    ["“", "a", "”", "、", "b", "…", "—", "c", "·", "d", "！", "e", "!", "f"],
]

# (tokenizer, method, arguments). Without a start token the reference gives a pair one id too many in the pattern
# S*E*E, which is not recorded: every tokenizer here has one.
CALLS = [
    (name, "encode", [*pair, *options])
    for name in ("lower", "no_end")
    for pair, *options in itertools.product(PAIRS, MAXLENS, PATTERNS, TRUNCATIONS)
]
CALLS += [(name, "tokenize", [TEXTS[5], maxlen]) for name in ("lower", "no_end") for maxlen in MAXLENS]
CALLS += [("lower", "decode", [[], tokens]) for tokens in TOKEN_LISTS]
CALLS += [("lower", "_cjk_punctuation", [])]

NUMBERS = [[1, 2, 3], [4], [5, 6, 7, 8]]
MATRICES = [[[1, 2], [3, 4], [5, 6]], [[7, 8, 9]]]
VECTORS = [[[1.5, 2.5]], [[3.5, 4.5], [5.5, 6.5]]]
SEGMENTED = "第一句。第二句，有逗号；还有分号。\n\n第三句很长很长很长，没有别的标点 but some words. End"

# Pairs for the longest common substring and subsequence.
COMMON: list = [
    (["", "abc"], {}),
    (["abcdefg", "xbcdyefgz"], {}),
    (["banana", "ananas"], {}),
    (["abab", "baba"], {}),
    (["苏剑林的科学空间", "科学空间由苏剑林创立"], {}),
    ([[1, 2, 3, 4, 1, 2], [1, 2, 9, 3, 4]], {}),
]
# function → its calls, each the list of arguments and the dict of keyword arguments
SNIPPETS = {
    "string_matching": [
        (["bert/encoder/layer_0", ["layer_\\d$", "pooler"]], {}),
        (["bert/encoder/layer_10", ["layer_\\d$", "pooler"]], {}),
        (["", []], {}),
        (["a.b", ["."]], {}),
    ],
    "lowercase_and_normalize": [([text], {}) for text in TEXTS],
    "sequence_padding": [
        ([NUMBERS], {}),
        ([NUMBERS], {"mode": "pre"}),
        ([NUMBERS], {"length": 2}),
        ([NUMBERS], {"length": 2, "mode": "pre"}),
        ([NUMBERS], {"length": 6, "value": -1}),
        ([NUMBERS], {"length": [3], "value": 0.5}),
        ([NUMBERS], {"length": 0}),
        ([[[1, 2], [3.5], []]], {"value": 0.25}),
        ([[[1, 2, 3, 0.5], [4]]], {"length": 3}),
        ([[[]]], {"length": 2}),
        ([[["a", "bcd"], ["e"]]], {"value": "x"}),
        ([MATRICES], {"seq_dims": 2}),
        ([MATRICES], {"seq_dims": 2, "mode": "pre", "value": 9}),
        ([MATRICES], {"seq_dims": 2, "length": [2, 4]}),
        ([VECTORS], {"value": -1}),
        ([VECTORS], {"length": 3, "mode": "pre"}),
    ],
    "truncate_sequences": [
        ([maxlen, index, list(range(7)), [], list(range(10, 15)), None, list(range(20, 27))], {})
        for maxlen in (30, 18, 12, 7)
        for index in (-1, 0, 1, -2)
    ]
    + [([4, [0, -1], [1, 2, 3], [4, 5, 6]], {}), ([3, -1, [1, 2, 3, 4, 5]], {}), ([3, -1], {})],
    "text_segmentate": [
        ([SEGMENTED, maxlen, seps, strips], {})
        for maxlen in (5, 12, 30, 100)
        for seps in ("\n", "\n。；，. ", "")
        for strips in (None, "。；")
    ]
    + [(["", 5], {}), (["\n\n", 0], {}), (["a b c d e f", 4, [" "]], {})],
    "softmax": [
        ([[[1.0, 2.0, 3.0], [0.0, -1000.0, 1000.0]]], {}),
        ([[[1.0, 2.0, 3.0], [0.0, -1000.0, 1000.0]]], {"axis": 0}),
    ],
    "longest_common_substring": COMMON,
    "longest_common_subsequence": COMMON,
    "orthogonally_resize": [
        ([(np.arange(1.0, 1 + int(np.prod(shape))).reshape(shape) ** 0.5).tolist(), new_shape], keywords)
        for shape, new_shape, keywords in [
            ((4,), (4,), {}),
            ((4,), (3,), {}),
            ((4,), (8,), {}),
            ((4,), (7,), {}),
            ((6,), (13,), {"window": 3}),
            ((2, 4), (4, 8), {}),
            ((2, 4), (5, 2), {}),
            ((3, 4), (3, 6), {}),
            ((3, 2), (5, 2), {"window": 1}),
            ((2, 3, 4), (4, 3, 9), {}),
        ]
    ],
}


def tokenizer_cases():
    """What is given to each call, for the golden."""
    for keywords, text in itertools.product(TOKENIZERS.values(), TEXTS):
        yield {"call": "text", "tokenizer": keywords, "text": text}
    for name, call, arguments in CALLS:
        yield {"call": call, "tokenizer": TOKENIZERS[name], "arguments": arguments}


def snippet_cases():
    for function, calls in SNIPPETS.items():
        for arguments, keywords in calls:
            yield {"function": function, "arguments": arguments, "keywords": keywords}


GIVEN = ("call", "tokenizer", "text", "function", "arguments", "keywords", "scenario")
FILES = {"tokenizers": ["tokenizers.json"], "snippets": ["snippets.json", "snippet_scenarios.json"]}


@functools.lru_cache(maxsize=None)
def golden_cases(kind):
    """{name: (what is given, what the reference returned)} of "tokenizers" or "snippets"."""
    rows = [row for name in FILES[kind] for row in read_json(GOLDENS / name)["cases"]]
    found = {}
    for i, row in enumerate(rows):
        given = {key: row.pop(key) for key in GIVEN if key in row}
        name = given.get("scenario") or f"{given.get('call') or given['function']}-{i}"
        found[name] = given, row
    return found


def compute_tokenizer(tokenizers, case):
    """{name: what the library's module of tokenizers returns for a case}, or {"raised": name of the exception}."""
    keywords = dict(case["tokenizer"])
    if "pre_tokenize" in keywords:
        keywords["pre_tokenize"] = re.compile(keywords["pre_tokenize"]).findall
    tokenizer = tokenizers.Tokenizer(str(GOLDENS / "vocab.txt"), **keywords)
    if case["call"] != "text":
        arguments = json.loads(
            json.dumps(case["arguments"])
        )  # the reference shortens lists of tokens in place
        return outcome(getattr(tokenizer, case["call"]), *arguments)
    text = case["text"]
    tokens = tokenizer.tokenize(text)
    ids, segments = tokenizer.encode(text)
    return {
        "tokens": tokens,
        "ids": ids,
        "segments": segments,
        "decoded": tokenizer.decode(ids),
        "decoded_tokens": tokenizer.decode(ids, tokens),
        "rematch": tokenizer.rematch(text, tokens),
    }


def compute_snippet(snippets, case):
    """ "returned" or "raised" of a case; "dtype" and "shape" of an array; "left", the truncated lists."""
    if "scenario" in case:
        return {"returned": SCENARIOS[case["scenario"]](snippets)}
    name, keywords = case["function"], case["keywords"]
    arguments = json.loads(json.dumps(case["arguments"]))
    if name in ("softmax", "orthogonally_resize"):
        arguments[0] = np.array(arguments[0])
    if name == "sequence_padding" and keywords.get("seq_dims"):
        arguments[0] = [np.array(rows) for rows in arguments[0]]
    results = outcome(getattr(snippets, name), *arguments, **keywords)
    return dict(results, left=arguments[2:]) if name == "truncate_sequences" else results


def outcome(function, *arguments, **keywords):
    """{"returned": …, for an array "dtype" and "shape"} or {"raised": the exception's name}."""
    try:
        returned = function(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 the exception is the result
        return {"raised": type(error).__name__}
    if isinstance(returned, np.ndarray):
        return {"returned": returned.tolist(), "dtype": returned.dtype.str, "shape": returned.shape}
    return {"returned": returned}
