"""What bert4keras 0.11.5 computes with its tokenizers and snippets, for the library's tests in every pairing.

In the environment of the reference, by `nox -s golden`: `python -m parity.text.golden`. It writes
`goldens/tokenizers.json` and `goldens/snippets.json`, which hold the cases too: the tests need nothing else;
and `goldens/snippet_scenarios.json`, what the programs of `snippet_scenarios` give.
`goldens/vocab.txt` has 576 entries of Google's uncased BERT vocabulary (Apache-2.0), in its order, most of
them pieces of the texts below, and four Chinese words as WoBERT has them. All characters here have had
their Unicode category since Unicode 11, the data of Python 3.7.
"""

import itertools
import json
import platform
import re
import unicodedata

import numpy as np

from parity.store import GOLDENS
from parity.text.snippet_scenarios import SCENARIOS

TEXTS = [
    "",
    " ",
    "\t\n\r ",
    "a",
    "Hello, world!",
    "The quick brown fox jumps over the lazy dog.",
    "He didn't say \"I'll go\"; they've gone, we're late, I'd stay, I'm here, it's done.",
    "unaffable unbelievably reinterpretation internationalization",
    "supercalifragilisticexpialidocious",
    "Pi is 3.14159, and 1,000,000 is a million. Version 1.2.3-rc4 costs $5.00 (50% off).",
    "E-mail someone@example.com or visit https://example.com/a_b?c=d&e=f#g",
    "snake_case, kebab-case, CamelCase and SCREAMING",
    "[CLS] in the text [SEP] is no special token, nor is [MASK] or [UNK]",
    "(a+b)*c/d = {e} < [f] > g | h ~ i ^ j ` k \\ l",
    "##ing ## # ###a",
    "...!!! ??? --- ___",
    "Crème brûlée à la carte, naïve café, Zürich, Ångström, señor",
    "cafe\u0301 de\u0301ja\u0300 vu, n\u0303, a\u0308\u0301",
    "\u0301combining first",
    "Straße GROẞE ﬁnal ﬂow Œuvre Æsir",
    "İstanbul ve Iğdır",
    "ΟΔΥΣΣΕΥΣ Σίσυφος α β γ",
    "Привет, мир! Ёлка и йод",
    "שלום עולם",
    "مرحبا بالعالم",
    "हिन्दी में पाठ",
    "ภาษาไทย",
    "Tiếng Việt có dấu",
    "中国的首都是北京。",
    "你好，世界！",
    "我在北京大学学习自然语言处理，今天天气很好。",
    "“苹果公司”（Apple Inc.）于1976年4月1日创立……",
    "《三国演义》——罗贯中",
    "中文English混排text测试123数字",
    "日本人 東京 王国 天 山 川 水 火",
    "㐀㐁 鿕 豈更 〇 ㊗ ㈱",
    "\U00020000\U0002a6d6\U0002a700\U0002b740\U0002b820\U0002f800 astral",
    "\U0002ceb0 outside the blocks",
    "こんにちは、世界。カタカナ と ひらがな",
    "ｶﾀｶﾅ ﾊﾟﾋﾟ",
    "が か\u3099 パ ハ\u309a",
    "안녕하세요 세계",
    "한국어와 English",
    "😀 😂🤣 👍🏽 👨\u200d👩\u200d👧\u200d👦 🇨🇳 ❤\ufe0f",
    "smile😀smile",
    "① ② Ⅷ ½ ² ㎏ ™ © ® § ¶ † • ‰ € £ ¥",
    "ＡＢＣ　ａｂｃ　１２３，。！？（）：；",
    "￥１００．５０％",
    "full\u3000width\u3000space",
    "no\u00a0break\u2003em\u2009thin\u202fnarrow\u205fmath\u1680ogham",
    "zero\u200bwidth\u200cnon\u200djoiner\ufeffbom\u2060word\u00adsoft",
    "line\u2028separator\u2029paragraph",
    "tab\tnew\nline\r\nreturn\x0bvertical\x0cform",
    "nul\x00inside bell\x07and\x1b[0m escape\x7fdelete",
    "unit\x1fseparator file\x1cseparator next\x85line",
    "replacement\ufffdcharacter \ufffd alone",
    "\x00\ufffd\x07",
    "direction\u200e\u200f\u202amarks\u202c",
    "private\ue000use noncharacter\uffff",
    "a" * 199,
    "b" * 200,
    "c" * 201,
    "the " + "play" * 40 + "ing " + "play" * 60,
    "中" * 30 + "x" * 30,
    "play playing played player players replay",
    "word,word;word:word.word!word?word",
    "  leading and trailing  ",
    "x1y2z3 4th 1st 2nd 1990s B2B 3D",
    "l'été d'où qu'est-ce c'est",
    "‘single’ ‛‚ „double‟ ‹angle› «guillemets» … ‥ ‧ · ・",
    "– — ― ‐ ‑ ‒ − ﹣ － 〜 ～",
    "¡Hola! ¿Qué tal?",
    "100 ℃ −5 °C 10×20 ÷ 3 ≤ 4 ≠ 5 ∞ √ ∑ → ←",
    "1. 2. 3 and 4.5 6. 7",
    "Don ' t and rock ' n ' roll, y ' all ' re",
]

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
    "longest_common_substring": [
        (["", "abc"], {}),
        (["abcdefg", "xbcdyefgz"], {}),
        (["banana", "ananas"], {}),
        (["abab", "baba"], {}),
        (["苏剑林的科学空间", "科学空间由苏剑林创立"], {}),
        ([[1, 2, 3, 4, 1, 2], [1, 2, 9, 3, 4]], {}),
    ],
    "longest_common_subsequence": [
        (["", "abc"], {}),
        (["abcdefg", "xbcdyefgz"], {}),
        (["banana", "ananas"], {}),
        (["abab", "baba"], {}),
        (["苏剑林的科学空间", "科学空间由苏剑林创立"], {}),
        ([[1, 2, 3, 4, 1, 2], [1, 2, 9, 3, 4]], {}),
    ],
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


def main():
    provenance = reference_versions()
    write_golden("tokenizers.json", provenance, compute_tokenizer_cases())
    write_golden("snippets.json", provenance, compute_snippet_cases())
    write_golden("snippet_scenarios.json", provenance, compute_snippet_scenarios())


def reference_versions():
    import bert4keras

    return {
        "bert4keras": bert4keras.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "unicode": unicodedata.unidata_version,
    }


def compute_tokenizer_cases():
    """Dicts with the `call`, the `tokenizer` (its arguments), what is given, what is returned or raised."""
    from bert4keras.tokenizers import Tokenizer

    tokenizers = {}
    for name, keywords in TOKENIZERS.items():
        keywords = dict(keywords)
        if "pre_tokenize" in keywords:
            keywords["pre_tokenize"] = re.compile(keywords["pre_tokenize"]).findall
        tokenizers[name] = Tokenizer(str(GOLDENS / "vocab.txt"), **keywords)

    for (name, tokenizer), text in itertools.product(tokenizers.items(), TEXTS):
        tokens = tokenizer.tokenize(text)
        ids, segments = tokenizer.encode(text)
        yield {
            "call": "text",
            "tokenizer": TOKENIZERS[name],
            "text": text,
            "tokens": tokens,
            "ids": ids,
            "segments": segments,
            "decoded": tokenizer.decode(ids),
            "decoded_tokens": tokenizer.decode(ids, tokens),
            "rematch": tokenizer.rematch(text, tokens),
        }
    for name, call, arguments in CALLS:
        case = {"call": call, "tokenizer": TOKENIZERS[name], "arguments": arguments}
        case = json.loads(json.dumps(case))  # a copy, as the reference shortens lists of tokens in place
        yield {**case, **outcome(getattr(tokenizers[name], call), *arguments)}


def compute_snippet_cases():
    """Dicts with `function`, `arguments`, `keywords`, the result, and what is left of truncated lists."""
    import bert4keras.snippets

    for name, calls in SNIPPETS.items():
        for arguments, keywords in calls:
            case = json.loads(json.dumps({"function": name, "arguments": arguments, "keywords": keywords}))
            if name in ("softmax", "orthogonally_resize"):
                arguments = [np.array(arguments[0])] + arguments[1:]
            if name == "sequence_padding" and keywords.get("seq_dims"):
                arguments = [[np.array(rows) for rows in arguments[0]]]
            case.update(outcome(getattr(bert4keras.snippets, name), *arguments, **keywords))
            if name == "truncate_sequences":
                case["left"] = arguments[2:]
            yield case


def compute_snippet_scenarios():
    """Dicts with the `scenario` and what it `returned`."""
    import bert4keras.snippets

    for name, scenario in SCENARIOS.items():
        yield {"scenario": name, "returned": scenario(bert4keras.snippets)}


def outcome(function, *arguments, **keywords):
    """{'returned': …, for an array 'dtype': …} or {'raised': the exception's name}."""
    try:
        returned = function(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 that it fails, and how, is the record
        return {"raised": type(error).__name__}
    if isinstance(returned, np.ndarray):
        return {"returned": returned.tolist(), "dtype": returned.dtype.str, "shape": returned.shape}
    return {"returned": returned}


def write_golden(name, provenance, cases):
    """One case a line, so that a difference between two versions can be read."""
    lines = ",\n".join(json.dumps(case, sort_keys=True, separators=(",", ":")) for case in cases)
    (GOLDENS / name).write_text(f'{{"provenance": {json.dumps(provenance)},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
