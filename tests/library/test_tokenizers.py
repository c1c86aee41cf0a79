"""Tokenizers against bert4keras 0.11.5 (`parity/goldens/tokenizers.json`), and where they differ on purpose."""

import copy
import json
import pathlib
import pickle
import random
import re
import subprocess
import sys
import types
import unicodedata
import warnings
from types import SimpleNamespace

import pytest

from bert4keras3.tokenizers import SpTokenizer, Tokenizer, TokenizerBase, load_vocab, save_vocab
from parity.kinds import KINDS_BY_NAME, verdict
from parity.store import GOLDENS
from parity.text.cases import golden_cases
from parity.text.record import record

VOCABULARY = GOLDENS / "vocab.txt"


def make_tokenizer(token_dict=str(VOCABULARY), **keywords):
    return Tokenizer(token_dict, **keywords)


def numbered(names):
    """A vocabulary of a few tokens."""
    return {token: i for i, token in enumerate(names)}


# The golden


@pytest.mark.parametrize("name", golden_cases("tokenizers"))
def test_call_gives_the_golden_result(name):
    results = record("tokenizers", SimpleNamespace(name="bert4keras3"), None, name)
    assert verdict(KINDS_BY_NAME["tokenizers"], name, json.loads(json.dumps(results))).red is None


def test_a_maxlen_without_room_is_named():
    with pytest.raises(ValueError, match="maxlen"):
        make_tokenizer(do_lower_case=True).encode("Hello, world!", maxlen=0)


# Where the reference crashes or is wrong


def test_encode_leaves_lists_of_tokens_as_they_were():
    first, second = ["[CLS]", "the", "dog", "[SEP]"], ["[CLS]", "dog", "[SEP]"]
    make_tokenizer().encode(first, second, maxlen=4)
    assert (len(first), len(second)) == (4, 3)


@pytest.mark.parametrize("maxlen", [2, 5, 6, 7])
def test_encode_holds_maxlen_without_start_token(maxlen):
    tokenizer = make_tokenizer(token_start=None, token_end=None)
    ids, segments = tokenizer.encode("the dog is here", "the dog is here", maxlen=maxlen)
    assert len(ids) == len(segments) == maxlen


def test_encode_holds_maxlen_with_an_empty_second_list():
    assert len(make_tokenizer().encode("the dog is here", [], maxlen=4)[0]) == 4


def test_encode_keeps_indices_with_their_texts():
    ids, _ = make_tokenizer(token_start=None, token_end=None).encode(
        [], ["a", "b", "c"], maxlen=2, truncate_from=[-1, 0]
    )
    assert ids == make_tokenizer().tokens_to_ids(["b", "c"])


def test_encode_names_an_unknown_truncate_from():
    with pytest.raises(ValueError, match="middle"):
        make_tokenizer().encode("a", maxlen=3, truncate_from="middle")


def test_decode_takes_a_lone_continuation_first():
    assert make_tokenizer().decode([], ["##", "a"]) == "a"


@pytest.mark.parametrize(
    "token_translate, text, expected",
    [
        ({"dog": "fox"}, "the dog", [[0, 1, 2], [4, 5, 6]]),
        ({"dog": "fox"}, "dog fox", [[0, 1, 2], [4, 5, 6]]),
        ({"dog": "fox"}, "fox dog", [[0, 1, 2], [4, 5, 6]]),
        ({"##ing": "fox"}, "playing", [[0, 1, 2, 3, 4, 5, 6]]),
        ({"the": "[unused1]"}, "the dog", [[], [4, 5, 6]]),
    ],
)
def test_rematch_finds_translated_tokens(token_translate, text, expected):
    tokenizer = make_tokenizer(token_translate=token_translate, token_start=None, token_end=None)
    assert tokenizer.rematch(text, tokenizer.tokenize(text)) == expected


def test_rematch_names_the_token_that_is_not_there():
    with pytest.raises(ValueError, match="'cat'"):
        make_tokenizer().rematch("the dog", ["the", "cat"])


def test_unknown_token_without_unk_raises():
    tokenizer = Tokenizer(numbered(["a", "b"]), token_start=None, token_end=None)
    assert tokenizer.encode("a b") == ([0, 1], [0, 0])
    with pytest.raises(ValueError, match=r"'c'.*\[UNK\]"):
        tokenizer.encode("a c")


@pytest.mark.parametrize("token_dict", [({"a": 0}, [0]), ["a", "b"], None])
def test_vocabulary_of_another_type_is_refused(token_dict):
    with pytest.raises(TypeError, match=type(token_dict).__name__ + ".*simplified"):
        Tokenizer(token_dict)


def test_missing_vocabulary_is_named():
    with pytest.raises(FileNotFoundError, match="nowhere.txt"):
        Tokenizer("nowhere.txt")


# Any text, against the rules written out one character at a time

SPANS = [(0x20, 0x7F), (0, 0x250), (0x300, 0x600), (0x4E00, 0xA000), (0x2000, 0x3100), (0xD7F0, 0x110000)]


def random_text(source):
    spans = source.choices(SPANS, k=source.randrange(60))
    return "".join(chr(source.randrange(*span)) for span in spans)


def cut_by_the_rules(tokenizer, text):
    """Words, each character by itself, then the longest token at each place."""
    if tokenizer._do_lower_case:
        text = unicodedata.normalize("NFD", text.lower())
        text = "".join(ch for ch in text if unicodedata.category(ch) != "Mn")
    words = [""]
    for ch in text:
        if tokenizer._is_cjk_character(ch) or tokenizer._is_punctuation(ch):
            words += [ch, ""]
        elif tokenizer._is_space(ch):
            words.append("")
        elif ch not in "\0\ufffd" and not tokenizer._is_control(ch):
            words[-1] += ch
    words = " ".join(words).split()  # str knows more kinds of space
    return [token for word in words for token in pieces_by_the_rules(tokenizer, word)]


def pieces_by_the_rules(tokenizer, word):
    tokens = []
    while sum(len(tokenizer.stem(token)) for token in tokens) < len(word):
        rest = word[sum(len(tokenizer.stem(token)) for token in tokens) :]
        rest = "##" + rest if tokens else rest
        known = [
            token for token in tokenizer._token_dict if rest.startswith(token) and token not in ("", "##")
        ]
        if not known or tokens and not max(known, key=len).startswith("##"):
            return [word]
        tokens.append(max(known, key=len))
    return tokens


@pytest.mark.parametrize("do_lower_case", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_random_text_is_cut_by_the_rules(do_lower_case, seed):
    letters = "abcdefghij\u0430\u0431\u0432\u00e9\u4e2d\u56fd,."
    words = (
        ["[UNK]"]
        + list(letters)
        + ["##" + ch for ch in letters]
        + ["ab", "##cd", "abc", "##fgh", "\u4e2d\u56fd"]
    )
    tokenizer = Tokenizer(numbered(words), do_lower_case=do_lower_case, token_start=None, token_end=None)
    source = random.Random(seed)
    for _ in range(20):
        text = random_text(source) + "".join(source.choices(letters + " ", k=20))
        tokens = cut_by_the_rules(tokenizer, text)
        assert tokenizer.tokenize(text) == tokens, ascii(text)
        assert tokenizer.encode(text)[0] == [tokenizer.token_to_id(token) for token in tokens]


# What users touch and override


def test_tokenizer_has_the_attributes_of_the_reference():
    token_dict = load_vocab(VOCABULARY)
    tokenizer = Tokenizer(token_dict, do_lower_case=True)
    assert tokenizer._token_dict is token_dict
    assert tokenizer._token_dict_inv == {i: token for token, i in token_dict.items()}
    assert tokenizer._vocab_size == len(token_dict) == 580
    assert tokenizer._do_lower_case is True
    for name, token in [
        ("pad", "[PAD]"),
        ("unk", "[UNK]"),
        ("mask", "[MASK]"),
        ("start", "[CLS]"),
        ("end", "[SEP]"),
    ]:
        assert getattr(tokenizer, "_token_" + name) == token
        assert getattr(tokenizer, f"_token_{name}_id") == token_dict[token]


def test_missing_special_token_has_no_id():
    tokenizer = Tokenizer(numbered(["[PAD]", "a"]), token_start=None)
    assert tokenizer._token_pad_id == 0
    assert not hasattr(tokenizer, "_token_start_id")
    assert not hasattr(tokenizer, "_token_mask_id")


def test_ids_and_tokens_map_both_ways():
    tokenizer = make_tokenizer()
    ids = list(range(tokenizer._vocab_size))
    assert tokenizer.tokens_to_ids(tokenizer.ids_to_tokens(ids)) == ids
    assert tokenizer.token_to_id("no such token") == tokenizer._token_unk_id
    with pytest.raises(KeyError):
        tokenizer.id_to_token(580)


@pytest.mark.parametrize(
    "method, characters, others",
    [
        ("_is_space", " \t\n\r\u00a0\u3000\u2003", "a.\u200b\x0b\u2028"),
        ("_is_punctuation", "!$+<=>^`|~\u00a7\u3002\uff0c\u2014", "a1 \u4e2d\u20ac\uffe5"),
        (
            "_is_cjk_character",
            "\u4e2d\u3400\uf900\U00020000\U0002ceaf\U0002f800",
            "a\u3042\uac00\u3002\U0002ceb0",
        ),
        ("_is_control", "\x00\x1f\t\u200b\u00ad\ufeff", "a \u3000\ufffd"),
    ],
)
def test_character_class_contains_its_characters_only(method, characters, others):
    is_of_class = getattr(Tokenizer, method)
    assert [ch for ch in characters if not is_of_class(ch)] == []
    assert [ch for ch in others if is_of_class(ch)] == []


@pytest.mark.parametrize(
    "token, expected",
    [("[CLS]", True), ("[]", True), ("[", False), ("", False), ("[a", False), ("a]", False)],
)
def test_special_token_stands_in_brackets(token, expected):
    assert Tokenizer._is_special(token) is expected


@pytest.mark.parametrize(
    "token, expected",
    [
        ("##\u4e2d", True),
        ("\u4e2d\u56fd", True),
        ("a.", True),
        ("##.", True),
        ("\u4e2d", False),
        ("##a", False),
    ],
)
def test_redundant_token_cannot_be_cut_from_a_text(token, expected):
    assert Tokenizer._is_redundant(token) is expected


def test_stem_drops_the_continuation_mark():
    assert [Tokenizer.stem(token) for token in ("##ing", "ing", "##", "#")] == ["ing", "ing", "", "#"]


def test_overridden_character_class_is_used():
    class KeepsUnderscores(Tokenizer):
        @staticmethod
        def _is_punctuation(ch):
            return ch != "_" and Tokenizer._is_punctuation(ch)

    words = numbered(["[UNK]", "a_b", "a", "b", "_"])
    keywords = {"token_start": None, "token_end": None}
    assert KeepsUnderscores(words, **keywords).tokenize("a_b") == ["a_b"]
    assert Tokenizer(words, **keywords).tokenize("a_b") == ["a", "_", "b"]


def test_token_added_later_is_found():
    words = numbered(["[UNK]", "a", "##b"])
    tokenizer = Tokenizer(words, token_start=None, token_end=None)
    assert tokenizer.tokenize("abcdefghi") == ["abcdefghi"]
    words["##bcdefghi"] = 3
    assert tokenizer.tokenize("abcdefghi") == ["a", "##bcdefghi"]


def test_longer_token_in_the_place_of_another_is_found():
    words = numbered(["[UNK]", "a", "##b", "[unused1]"])
    tokenizer = Tokenizer(words, token_start=None, token_end=None)
    assert tokenizer.tokenize("abcdefghijklmnop") == ["abcdefghijklmnop"]
    words["##bcdefghijklmnop"] = words.pop("[unused1]")
    if sys.version_info >= (3, 8):
        assert tokenizer.tokenize("abcdefghijklmnop") == ["a", "##bcdefghijklmnop"]


def test_overridden_methods_are_asked_about_every_word():
    class Shouting(Tokenizer):
        def _word_piece_tokenize(self, word):
            return [word.upper()]

        def token_to_id(self, token):
            return len(token)

    tokenizer = Shouting(numbered(["[UNK]", "ab", "c", "AB"]), token_start=None, token_end=None)
    assert tokenizer.tokenize("ab c d") == ["AB", "C", "D"]
    assert tokenizer.encode("ab c d")[0] == [2, 1, 1]


def test_pre_tokenize_sees_lower_case_and_keeps_words_of_the_vocabulary():
    seen = []

    def cut(text):
        seen.append(text)
        return ["\u4f60\u597d", "\u4e2d\u5929", "PLAYING"]

    tokens = make_tokenizer(do_lower_case=True, pre_tokenize=cut).tokenize("ABC")
    assert seen == ["abc"]
    assert tokens == ["[CLS]", "\u4f60\u597d", "\u4e2d", "\u5929", "playing", "[SEP]"]


def test_long_words_are_cut_as_short_ones():
    tokenizer = Tokenizer(
        numbered(["a", "##a", "##aaa"]), word_maxlen=10**6, token_start=None, token_end=None
    )
    assert tokenizer.tokenize("a" * 30001) == ["a"] + ["##aaa"] * 10000


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda tokenizer: pickle.loads(pickle.dumps(tokenizer))])
def test_tokenizer_travels_between_processes(copied):
    tokenizer = make_tokenizer(do_lower_case=True)
    expected = tokenizer.encode("The dog, \u4e2d\u56fd")
    assert copied(tokenizer).encode("The dog, \u4e2d\u56fd") == expected


@pytest.mark.parametrize(
    "method, argument",
    [("token_to_id", "a"), ("id_to_token", 0), ("decode", [0]), ("tokenize", "a")],
)
def test_base_class_leaves_the_vocabulary_to_subclasses(method, argument):
    with pytest.raises(NotImplementedError):
        getattr(TokenizerBase(), method)(argument)


def test_import_brings_no_framework():
    code = (
        "import sys, bert4keras3.tokenizers; "
        "print([name for name in ('keras', 'tensorflow', 'jax', 'torch', 'sentencepiece') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code]).decode().strip() == "[]"


# Vocabulary files


def write_vocabulary(folder, content):
    path = folder / "vocab.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


@pytest.mark.parametrize(
    "content, expected",
    [
        ("a\nb\n", {"a": 0, "b": 1}),
        ("a\r\nb", {"a": 0, "b": 1}),
        ("a 17\nb\t4\n", {"a": 0, "b": 1}),
        ("a\n\nb\n", {"a": 0, "": 1, "b": 2}),
        ("\u00e9\n\u4e2d\n", {"\u00e9": 0, "\u4e2d": 1}),
        ("\ufeffa\nb\n", {"a": 0, "b": 1}),
        ("\ufeff\na\n", {"": 0, "a": 1}),
        ("a\n\ufeff\n", {"a": 0, "\ufeff": 1}),
        ("{\na\n}\n", {"{": 0, "a": 1, "}": 2}),
        ("[\na\n", {"[": 0, "a": 1}),
    ],
)
def test_load_vocab_numbers_the_lines(tmp_path, content, expected):
    assert load_vocab(write_vocabulary(tmp_path, content)) == expected


def test_load_vocab_warns_of_a_token_that_is_there_twice(tmp_path):
    path = write_vocabulary(tmp_path, "a\nb\na\nc\nd\n")
    with pytest.warns(UserWarning, match="'a'"):
        assert load_vocab(path) == {"a": 2, "b": 1, "c": 2, "d": 3}


def test_load_vocab_warns_of_a_file_without_tokens(tmp_path):
    with pytest.warns(UserWarning, match="vocab.txt.*empty"):
        assert load_vocab(write_vocabulary(tmp_path, "")) == {}


SENTENCEPIECE = b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02\n\n\n\x03\xe2\x96\x81\x15eC\xee\xbf\n\t"
OTHER_FILES = {
    "vocab.json": ('{"a": 0, "b": 1}', r"{token: id}.*Tokenizer\(json.load\(open\(.*vocab.txt"),
    "vocab.json of GPT-2": ('{"a": 0, "\u0120b": 1}', r"byte-level BPE. Use BpeTokenizer\("),
    "tokenizer.json": ('{"model": {"type": "WordPiece", "vocab": {"a": 0}}}', "ends in .json"),
    "tokenizer.json of GPT-2": ('{"model": {"type": "BPE", "vocab": {"a": 0}}}', "ends in .json"),
    "list": ('[\n"a",\n"b"\n]', r"list of tokens.*enumerate\(json.load"),
    "configuration": ('\ufeff{"hidden_act": "gelu"}', "got a JSON file. Use the vocab.txt"),
    "SentencePiece": (SENTENCEPIECE, r"SentencePiece model. Use SpTokenizer\(.*vocab.txt"),
    "binary": (bytes(range(256)), "binary file"),
    "binary that is UTF-8": (b"PK\x03\x04\x00\x00\n", "binary file"),
}


@pytest.mark.parametrize("kind", sorted(OTHER_FILES))
def test_load_vocab_refuses_a_file_of_another_kind(tmp_path, kind):
    content, advice = OTHER_FILES[kind]
    with pytest.raises(ValueError, match="vocab.txt: expected a vocabulary.*" + advice):
        load_vocab(write_vocabulary(tmp_path, content))


@pytest.mark.parametrize(
    "token_dict, arguments, words",
    [
        (["a", "[UNK]"], {}, r"no token_start='\[CLS\]', token_end='\[SEP\]'.*\[UNK\].*token_start=None"),
        (["[CLS]", "[UNK]", "</s>"], {}, r"no token_end='\[SEP\]'.*Pass token_end='</s>'"),
        (["[UNK]", "[SEP]"], dict(token_start="<s>"), "no token_start='<s>'"),
    ],
)
def test_start_and_end_tokens_that_are_unknown_are_warned_of(token_dict, arguments, words):
    with pytest.warns(UserWarning, match=words):
        Tokenizer(numbered(token_dict), **arguments)


@pytest.mark.parametrize(
    "token_dict, arguments",
    [
        (["a", "[UNK]"], dict(token_start=None, token_end=None)),
        (["[CLS]", "[SEP]", "[UNK]"], {}),
        (["a"], {}),  # encode raises
    ],
)
def test_known_start_and_end_tokens_are_not_warned_of(token_dict, arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Tokenizer(numbered(token_dict), **arguments)


def test_ids_in_the_place_of_tokens_are_refused():
    with pytest.raises(TypeError, match="token_dict.*{token: id}.*0"):
        Tokenizer({0: "a", 1: "b"})


def test_load_vocab_reads_another_encoding(tmp_path):
    path = write_vocabulary(tmp_path, "\u4e2d\n\u56fd\n".encode("gbk"))
    assert load_vocab(path, encoding="gbk") == {"\u4e2d": 0, "\u56fd": 1}
    with pytest.raises(ValueError, match=r"vocab\.txt.*utf-8"):
        load_vocab(path)


def test_load_vocab_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.txt"):
        load_vocab(tmp_path / "nowhere.txt")


def test_simplified_vocab_leaves_out_redundant_tokens(tmp_path):
    path = write_vocabulary(tmp_path, "[PAD]\n[unused1]\n\u4e2d\n##\u4e2d\na\n##a\n##!\n!\n[CLS]\n")
    token_dict, keep_tokens = load_vocab(path, simplified=True, startswith=["[CLS]", "[PAD]", "[CLS]"])
    assert token_dict == numbered(["[CLS]", "[PAD]", "\u4e2d", "a", "##a", "!"])
    assert keep_tokens == [8, 0, 2, 4, 5, 7]


def test_simplified_vocab_needs_its_first_tokens(tmp_path):
    with pytest.raises(ValueError, match="CLS"):
        load_vocab(write_vocabulary(tmp_path, "a\n"), simplified=True, startswith=["[CLS]", "a"])


def test_saved_vocab_loads_as_it_was(tmp_path):
    token_dict = {"b": 1, "\u4e2d": 2, "a": 0}
    save_vocab(str(tmp_path / "saved.txt"), token_dict)
    assert (tmp_path / "saved.txt").read_bytes() == "a\nb\n\u4e2d\n".encode("utf-8")
    assert load_vocab(str(tmp_path / "saved.txt")) == token_dict
    assert Tokenizer(tmp_path / "saved.txt")._token_dict == token_dict


# SpTokenizer, on a stand-in for sentencepiece, which no pairing has

PIECES = ["<pad>", "</s>", "<unk>", "\u2581the", "\u2581dog", "s", "\u2581"]


class Processor:
    padding = 0

    def Load(self, path):
        assert isinstance(path, str)

    def pad_id(self):
        return self.padding

    def unk_id(self):
        return 2

    def get_piece_size(self):
        return len(PIECES)

    def id_to_piece(self, i):
        if not 0 <= i < len(PIECES):
            raise IndexError(i)
        return PIECES[i]

    def piece_to_id(self, piece):
        return PIECES.index(piece) if piece in PIECES else 2

    def encode_as_pieces(self, text):
        return re.findall("\u2581(?:the|dog)?|.", "".join("\u2581" + word for word in text.split()))

    def decode_pieces(self, pieces):
        return "".join(pieces).replace("\u2581", " ").strip()

    def is_control(self, i):
        return i < 2

    def is_unknown(self, i):
        return i == 2

    def is_unused(self, i):
        return False


@pytest.fixture
def make_sp_tokenizer(monkeypatch):
    def make(padding=0, **keywords):
        processor = type("SentencePieceProcessor", (Processor,), {"padding": padding})
        monkeypatch.setitem(
            sys.modules, "sentencepiece", types.SimpleNamespace(SentencePieceProcessor=processor)
        )
        return SpTokenizer(pathlib.Path("spiece.model"), **keywords)

    return make


def test_sp_tokenizer_encodes_and_decodes(make_sp_tokenizer):
    tokenizer = make_sp_tokenizer(token_start=None, token_end="</s>")
    assert tokenizer.tokenize("the dogs") == ["\u2581the", "\u2581dog", "s", "</s>"]
    assert tokenizer.encode("the dogs", maxlen=3) == ([3, 4, 1], [0, 0, 0])
    assert tokenizer.decode([3, 4, 5]) == "the dogs"


def test_sp_tokenizer_has_the_models_special_tokens(make_sp_tokenizer):
    tokenizer = make_sp_tokenizer(token_start=None, token_end="</s>")
    assert (tokenizer._token_pad, tokenizer._token_pad_id) == ("<pad>", 0)
    assert (tokenizer._token_unk, tokenizer._token_unk_id) == ("<unk>", 2)
    assert tokenizer._token_end_id == 1
    assert tokenizer._token_mask_id == 2
    assert not hasattr(tokenizer, "_token_start_id")
    assert tokenizer._vocab_size == 7


def test_sp_tokenizer_warns_of_unknown_start_and_end_tokens(make_sp_tokenizer):
    with pytest.warns(UserWarning, match=r"\[CLS\].*\[SEP\].*<unk>.*token_start=None, token_end='</s>'"):
        assert make_sp_tokenizer().encode("the") == ([2, 3, 2], [0, 0, 0])


def test_sp_tokenizer_does_not_warn_of_known_tokens(make_sp_tokenizer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_sp_tokenizer(token_start=None, token_end="</s>")


@pytest.mark.parametrize(
    "content, error, words",
    [
        (b"[PAD]\n", ValueError, "expected a SentencePiece.*Tokenizer"),
        (None, FileNotFoundError, "spiece.model"),
    ],
)
def test_sp_tokenizer_names_a_file_that_is_no_model(
    tmp_path, make_sp_tokenizer, monkeypatch, content, error, words
):
    def fail(self, path):
        raise RuntimeError("Internal: could not parse ModelProto")

    monkeypatch.setattr(Processor, "Load", fail)
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(error, match=words):
        make_sp_tokenizer()


def test_sp_tokenizer_without_padding_has_no_pad_id(make_sp_tokenizer):
    assert not hasattr(make_sp_tokenizer(padding=-1), "_token_pad_id")


def test_sp_tokenizer_gives_nothing_for_ids_beyond_the_model(make_sp_tokenizer):
    tokenizer = make_sp_tokenizer()
    assert tokenizer.ids_to_tokens([6, 7, 100]) == ["\u2581", "", ""]
    assert [tokenizer._is_decodable(i) for i in (0, 2, 3, 7)] == [False, False, True, False]


def test_sp_tokenizer_translates_there_and_back(make_sp_tokenizer):
    tokenizer = make_sp_tokenizer(
        token_start=None,
        token_end=None,
        pre_tokenize=lambda text: text.split("_"),
        token_translate={"\u2581the": "s", "\u2581cat": ""},
    )
    assert tokenizer.tokenize("the_dog") == ["s", "\u2581dog"]
    assert tokenizer.decode([5, 4]) == "the dog"
