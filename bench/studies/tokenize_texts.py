"""Tokenizing: the time from texts to ids, by ours, by bert4keras 0.11.5, and by the package tokenizers.

    python -m bench.studies.tokenize_texts [--rounds 9]     in the environment of the reference, with bert4keras3

Before anything is timed, ours and the reference give the same ids for the timed texts, the golden's texts and random
texts. The package tokenizers, written in Rust, is timed if it is installed: "whole", with its own rules for characters,
which differ from the reference's for some texts, and "words", on words that the reference's rules cut beforehand.
"""

import json
import random
from pydoc_data.topics import topics

import numpy as np

from bench.studies import Study, interleave, ratio_to, read_rounds, timed
from bert4keras3.snippets import Memo
from bert4keras3.tokenizers import Tokenizer, load_vocab
from parity.store import GOLDENS, MINILM

REFERENCE = "bert4keras 0.11.5"
CHINESE = "我在北京大学学习自然语言处理，今天天气很好。“苹果公司”（Apple Inc.）于1976年4月1日创立……"
ENGLISH = "".join(topics[name] for name in ("class", "exceptions", "import", "typesseq"))
ACCENTED = "Crème brûlée à la carte, naïve café, Zürich, Ångström, señor. Привет, мир! Ёлка и йод. "


def make_vocabulary():
    """Google's uncased vocabulary from `.cache`, which the parity sessions make, and all of U+4E00 to U+9FA5."""
    vocabulary = load_vocab(str(MINILM / "vocab.txt"))
    for code in range(0x4E00, 0x9FA6):
        vocabulary.setdefault(chr(code), len(vocabulary))
    return vocabulary


def make_workloads():
    """{name: texts}. Repeated sentences help ours alone: it cuts a word once a text. The English is Python's docs."""
    golden = json.loads((GOLDENS / "tokenizers.json").read_text(encoding="utf-8"))["cases"]
    short = sorted({case["text"] for case in golden if case["call"] == "text" and len(case["text"]) < 100})
    return {
        "Chinese, 5000 characters": [CHINESE * (5000 // len(CHINESE))] * 4,
        "English, 5000 characters": [ENGLISH[i : i + 5000] for i in range(0, 20000, 5000)],
        "accents, 5000 characters": [ACCENTED * (5000 // len(ACCENTED))] * 4,
        "Chinese, 40 characters": [CHINESE[:40]] * 100,
        "English, 100 characters": [ENGLISH[i : i + 100] for i in range(0, 10000, 100)],
        "the golden's texts": short,
    }


def random_texts(count):
    """Texts of characters of many scripts; some characters are unassigned."""
    source = random.Random(0)
    kinds = [(0x20, 0x7F), (0, 0x250), (0x300, 0x600), (0x4E00, 0xA000), (0x2000, 0x3100), (0xFE00, 0xFFFF)]
    for _ in range(count):
        spans = source.choices(kinds, k=source.randrange(1, 60))
        yield "".join(chr(source.randrange(*span)) for span in spans)


def make_candidates(vocabulary, do_lower_case):
    """Yield (name, function from a text to its ids); the reference first, ours second."""
    from bert4keras.tokenizers import Tokenizer as ReferenceTokenizer

    ours = Tokenizer(dict(vocabulary), do_lower_case=do_lower_case)
    yield REFERENCE, ReferenceTokenizer(dict(vocabulary), do_lower_case=do_lower_case).encode
    yield "bert4keras3", ours.encode
    try:
        import tokenizers
    except ImportError:
        return
    rust = [tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]")) for _ in "12"]
    rust[0].normalizer = tokenizers.normalizers.BertNormalizer(lowercase=do_lower_case)
    rust[0].pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    rust[1].pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    cut = Memo(lambda text: " ".join(words_of(ours, text)))
    yield f"tokenizers {tokenizers.__version__}, whole", lambda text: rust[0].encode(text).ids
    yield f"tokenizers {tokenizers.__version__}, words", lambda text: rust[1].encode(cut[text]).ids


def words_of(tokenizer, text):
    """The words of a text, before they are cut into word pieces."""
    whole = type("Whole", (Tokenizer,), {"_word_piece_tokenize": lambda self, word: [word]})
    cutter = whole(tokenizer._token_dict, tokenizer._do_lower_case, token_start=None, token_end=None)
    return cutter.tokenize(text)


def main():
    rounds = read_rounds(__doc__, 9)
    vocabulary, workloads = make_vocabulary(), make_workloads()
    study = Study("tokenize_texts", rounds, vocabulary=str(len(vocabulary)))
    for do_lower_case in (True, False):
        functions = dict(make_candidates(vocabulary, do_lower_case))
        reference, ours = list(functions.values())[:2]
        checked = [text for texts in workloads.values() for text in set(texts)] + list(random_texts(2000))
        different = [text for text in checked if reference(text) != ours(text)]
        case = "lower case" if do_lower_case else "cased"
        study.add(case, "bert4keras3", "different ids", len(different), f"of {len(checked)} texts")
        for workload, texts in workloads.items():
            candidates = {
                name: timed(lambda function=function, texts=texts: list(map(function, texts)))
                for name, function in functions.items()
            }
            seconds = interleave(candidates, rounds)
            for name, values in seconds.items():
                fields = ratio_to(values, seconds[REFERENCE], REFERENCE)
                microseconds = np.median(values) / len(texts) * 1e6
                study.add(f"{workload}, {case}", name, "time", microseconds, "us", **fields)
    study.write()


if __name__ == "__main__":
    main()
