"""Time from texts to ids: ours against bert4keras 0.11.5, and against the package tokenizers, in one process.

    python -m bench.tokenize_texts [ROUNDS]     in the environment of the reference, with bert4keras3

Rounds are interleaved; the ratio is what counts. Before that, ids are compared on the texts that are timed, the
golden's, and random ones. The package tokenizers, written in Rust, is timed where it is installed: `whole`, with
its own rules for characters, which are not the reference's for every text, and `words`, on words that were cut
by the reference's rules before the clock started, which leaves it the least to do.
"""

import json
import platform
import random
import sys
import time
from pydoc_data.topics import topics

import numpy as np

from bert4keras3.snippets import Memo
from bert4keras3.tokenizers import Tokenizer, load_vocab
from parity.files import GOLDENS, MINILM

CHINESE = "我在北京大学学习自然语言处理，今天天气很好。“苹果公司”（Apple Inc.）于1976年4月1日创立……"
ENGLISH = "".join(topics[name] for name in ("class", "exceptions", "import", "typesseq"))
ACCENTED = "Crème brûlée à la carte, naïve café, Zürich, Ångström, señor. Привет, мир! Ёлка и йод. "


def make_vocabulary():
    """Google's uncased vocabulary, which the parity sessions leave in `.cache`, and all of U+4E00 to U+9FA5."""
    vocabulary = load_vocab(str(MINILM / "vocab.txt"))
    for code in range(0x4E00, 0x9FA6):
        vocabulary.setdefault(chr(code), len(vocabulary))
    return vocabulary


def make_workloads():
    """name → texts. The Chinese and the accented ones repeat a sentence, which helps no one but ours: it cuts a
    word once a text. The English ones are Python's documentation.
    """
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
    """Characters of many scripts, some of them unassigned."""
    source = random.Random(0)
    kinds = [(0x20, 0x7F), (0, 0x250), (0x300, 0x600), (0x4E00, 0xA000), (0x2000, 0x3100), (0xFE00, 0xFFFF)]
    for _ in range(count):
        spans = source.choices(kinds, k=source.randrange(1, 60))
        yield "".join(chr(source.randrange(*span)) for span in spans)


def subjects(vocabulary, do_lower_case):
    """name → function from a text to its ids; the reference first, ours second."""
    from bert4keras.tokenizers import Tokenizer as ReferenceTokenizer

    ours = Tokenizer(dict(vocabulary), do_lower_case=do_lower_case)
    yield "bert4keras 0.11.5", ReferenceTokenizer(dict(vocabulary), do_lower_case=do_lower_case).encode
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
    yield "tokenizers %s, whole" % tokenizers.__version__, lambda text: rust[0].encode(text).ids
    yield "tokenizers %s, words" % tokenizers.__version__, lambda text: rust[1].encode(cut[text]).ids


def words_of(tokenizer, text):
    """The words of a text, before they are cut into pieces."""
    whole = type("Whole", (Tokenizer,), {"_word_piece_tokenize": lambda self, word: [word]})
    cutter = whole(tokenizer._token_dict, tokenizer._do_lower_case, token_start=None, token_end=None)
    return cutter.tokenize(text)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    vocabulary, workloads = make_vocabulary(), make_workloads()
    print(
        "Python %s, a vocabulary of %d, median of %d interleaved rounds"
        % (platform.python_version(), len(vocabulary), rounds)
    )
    for do_lower_case in (True, False):
        functions = dict(subjects(vocabulary, do_lower_case))
        reference, ours = list(functions.values())[:2]
        checked = [text for texts in workloads.values() for text in set(texts)] + list(random_texts(2000))
        different = [text for text in checked if reference(text) != ours(text)]
        print(
            "\ndo_lower_case=%s: ids of %d texts compared, %d different"
            % (do_lower_case, len(checked), len(different))
        )
        for workload, texts in workloads.items():
            print_times(workload, texts, functions, rounds)


def print_times(workload, texts, functions, rounds):
    seconds = {name: [] for name in functions}
    for function in functions.values():
        list(map(function, texts))
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            for text in texts:
                function(text)
            seconds[name].append(time.perf_counter() - start)
    print(workload)
    reference = np.array(seconds["bert4keras 0.11.5"])
    for name, values in seconds.items():
        speed = reference / np.array(values)
        print(
            "  %-28s %8.1f us a text   %.1f x as fast (%.1f to %.1f)"
            % (name, np.median(values) / len(texts) * 1e6, np.median(speed), speed.min(), speed.max())
        )


if __name__ == "__main__":
    main()
