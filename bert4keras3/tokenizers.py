"""Text → tokens → ids and back, with the same tokens as bert4keras 0.11.5.

The kind of a character (punctuation, CJK, space, control) is computed once and cached in a table for `str.translate`.
Words are then split by longest match. If bert4keras crashes or is wrong, the docstring says what happens here.
"""

from __future__ import annotations

import json
import os
import re
import string
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

from bert4keras3 import tokenizer_files
from bert4keras3.snippets import (
    Memo,
    convert_to_unicode,
    is_py2,  # noqa: F401 bert4keras exports it here
    is_string,  # noqa: F401
    lowercase_and_normalize,
    truncate_sequences,
)

PUNCTUATION = frozenset(string.punctuation)
SPACES = frozenset(" \t\n\r")

# https://en.wikipedia.org/wiki/CJK_Unified_Ideographs_(Unicode_block), in the order of frequency
CJK_BLOCKS = (
    (0x4E00, 0x9FFF),  # CJK Unified Ideographs
    (0x3400, 0x4DBF),  # Extension A
    (0xF900, 0xFAFF),  # Compatibility Ideographs
    (0x20000, 0x2A6DF),  # Extension B
    (0x2A700, 0x2B73F),  # Extension C
    (0x2B740, 0x2B81F),  # Extension D
    (0x2B820, 0x2CEAF),  # Extension E
    (0x2F800, 0x2FA1F),  # Compatibility Ideographs Supplement
)

# Chinese punctuation: full-width ASCII, brackets and quotes, dashes and dots, ends of sentences.
CJK_PUNCTUATION = (
    "＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､"
    "\u3000、〃〈〉《》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿"
    "–—‘’‛“”„‟…‧﹏﹑﹔·"
    "！？｡。"
)
BYTE_ORDER_MARK = "\ufeff"
END = "<|endoftext|>"  # of GPT-2
NO_SPACE_AFTER = "+-/={(<["  # besides CJK punctuation, when `decode` joins tokens

SPACES_IN_A_ROW = re.compile(" +")
ENGLISH_CONTRACTION = re.compile("' (?=(?:re|m|s|t|ve|d|ll) )")
SPACE_IN_A_NUMBER = re.compile(r"(\d\.) (\d)")


_NORMALIZED = Memo(lowercase_and_normalize)  # of one character
_SPACE_AFTER = Memo(lambda characters: re.compile(f"([{re.escape(characters)}]) "))


def load_vocab(
    dict_path: str | os.PathLike,
    encoding: str = "utf-8",
    simplified: bool = False,
    startswith: Sequence[str] | None = None,
) -> Any:
    """Read a vocabulary: one token per line, a tokenizer.json with a WordPiece model, or a folder with either.

    A simplified vocabulary begins with the tokens `startswith`. It leaves out tokens that no text is split into: tokens
    of several characters with a CJK character or punctuation. A byte order mark at the beginning of the file is
    ignored.

    If a token occurs twice, its id is the number of different tokens before its second occurrence. The next new token
    has the same id, as in bert4keras; a warning says so.

    Args:
        dict_path: path of the file or of a Hugging Face folder.
        encoding: its encoding; a tokenizer.json is in UTF-8.
        simplified: leave out tokens that are never used.
        startswith: first tokens of a simplified vocabulary.

    Returns:
        {token: id}; with `simplified`, also the list of old ids (for `keep_tokens`).

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file has another encoding or format, or lacks a token of `startswith`.
    """
    dict_path = tokenizer_files.find_file(dict_path, tokenizer_files.WORDPIECE_FILES)
    token_dict = tokenizer_files.wordpiece_vocabulary(dict_path) or {}
    repeated = []
    for line in [] if token_dict else vocabulary_lines(dict_path, encoding):
        token = (line.split() or [""])[0]
        if token in token_dict:
            repeated.append(token)
        token_dict[token] = len(token_dict)
    if not token_dict:
        warnings.warn(f"{dict_path}: the vocabulary is empty", stacklevel=2)
    if repeated:
        warnings.warn(f"{dict_path}: ids are shared, because tokens occur twice: {repeated}", stacklevel=2)

    if not simplified:
        return token_dict
    first = list(startswith or [])
    missing = [token for token in first if token not in token_dict]
    if missing:
        raise ValueError(f"{dict_path}: expected the tokens of startswith, got none of {missing}")
    by_id = sorted(token_dict, key=token_dict.__getitem__)
    others = [token for token in by_id if not Tokenizer._is_redundant(token)]
    tokens = list(dict.fromkeys(first + others))
    return {token: i for i, token in enumerate(tokens)}, [token_dict[token] for token in tokens]


def vocabulary_lines(path, encoding):
    """Lines of a vocabulary, without a byte order mark; ValueError for a file of another format."""
    try:
        with open(path, encoding=encoding) as file:
            lines = file.readlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            binary_problem(path) or f"{path}: expected a vocabulary in {encoding}, got {error}"
        ) from error
    if lines:
        lines[0] = lines[0][1:] if lines[0][:1] == BYTE_ORDER_MARK else lines[0]
        problem = binary_problem(path) if "\0" in "".join(lines[:10]) else json_problem(path, "".join(lines))
        if problem:
            raise ValueError(problem)
    return lines


def binary_problem(path):
    """Error message for a binary file; None for a file that may be text in another encoding."""
    with open(path, "rb") as file:
        head = file.read(1024)
    if b"\0" not in head:
        return None
    if head[:1] == b"\n" and any(piece in head for piece in (b"<unk>", b"<pad>", b"</s>")):
        return f"{path}: expected a vocabulary, got a SentencePiece model. Use SpTokenizer({str(path)!r})"
    return f"{path}: expected a vocabulary with one token per line, got a binary file"


def json_problem(path, text):
    """Error message for JSON text; None for other text."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        content = json.loads(text)
    except ValueError:
        return None
    load = f"json.load(open({str(path)!r}, encoding='utf-8'))"
    kind, remedy = "a JSON file", "Use the vocab.txt of the same release"
    if isinstance(content, list) and all(isinstance(token, str) for token in content) and content:
        kind = "a JSON list of tokens"
        remedy = f"Pass their ids: {{token: i for i, token in enumerate({load})}}"
    elif isinstance(content, dict) and isinstance(content.get("model"), dict):
        kind, remedy = "a tokenizer.json of Hugging Face", "Give it a name that ends in .json"
    elif isinstance(content, dict) and any("\u0120" in token for token in content):
        kind, remedy = "a vocab.json of byte-level BPE", f"Use BpeTokenizer({str(path)!r})"
    elif isinstance(content, dict) and all(isinstance(i, int) for i in content.values()):
        kind, remedy = "a JSON file of {token: id}", f"Pass its content: Tokenizer({load})"
    return f"{path}: expected a vocabulary with one token per line, got {kind}. {remedy}"


def save_vocab(dict_path: str | os.PathLike, token_dict: dict[str, int], encoding: str = "utf-8") -> None:
    """Write a vocabulary, one token per line, in the order of the ids."""
    with open(dict_path, "w", encoding=encoding) as file:
        file.writelines(token + "\n" for token in sorted(token_dict, key=token_dict.__getitem__))


class TokenizerBase:
    """Base of all tokenizers: start and end tokens, truncation, pairs of texts.

    pre_tokenize → tokenize → token_translate → start + tokens + end → maxlen

    Args:
        token_start: start token; None: no start token.
        token_end: end token; None: no end token.
        pre_tokenize: function that splits a text into words first.
        token_translate: {token: replacement}, applied to the tokens.
    """

    def __init__(
        self,
        token_start: str = "[CLS]",
        token_end: str = "[SEP]",
        pre_tokenize: Callable[[str], Iterable[str]] | None = None,
        token_translate: dict[str, str] | None = None,
    ) -> None:
        self._token_start, self._token_end = token_start, token_end
        self._token_pad, self._token_unk, self._token_mask = "[PAD]", "[UNK]", "[MASK]"
        self._pre_tokenize = pre_tokenize
        self._token_translate = token_translate or {}
        self._token_translate_inv = {new: old for old, new in self._token_translate.items()}

    def _warn_of_unknown(self, source: str, knows: Callable[[str], bool]) -> None:
        """Warn if the start token or the end token is unknown to the vocabulary; called in `__init__`."""
        given = {"token_start": self._token_start, "token_end": self._token_end}
        missing = {name: token for name, token in given.items() if token is not None and not knows(token)}
        if missing:
            listed = ", ".join(f"{name}={token!r}" for name, token in missing.items())
            remedy = ", ".join(
                f"{name}={'</s>' if name == 'token_end' and knows('</s>') else None!r}" for name in missing
            )
            warnings.warn(
                f"{source} has no {listed}, so {self._token_unk} takes its place. Pass {remedy}, or another token",
                stacklevel=3,
            )

    def tokenize(self, text: str, maxlen: int | None = None) -> list[str]:
        """Start token + tokens + end token; tokens before the end token are dropped until `maxlen` are left."""
        tokens = self._tokenize(text)
        if self._token_translate:
            tokens = [self._token_translate.get(token) or token for token in tokens]
        start = [] if self._token_start is None else [self._token_start]
        end = [] if self._token_end is None else [self._token_end]
        tokens = [*start, *tokens, *end]
        if maxlen is not None:
            truncate_sequences(maxlen, -len(end) - 1, tokens)
        return tokens

    def encode(
        self,
        first_text: str | Sequence[str],
        second_text: str | Sequence[str] | None = None,
        maxlen: int | None = None,
        pattern: str = "S*E*E",
        truncate_from: str | int | Sequence[int] = "right",
    ) -> tuple[list[int], list[int]]:
        """Token ids and segment ids (0: first text, 1: second text) of one text or two.

        While there are more than `maxlen` ids, the longer text loses a token. In bert4keras, lists of tokens are
        shortened in place, and the result exceeds `maxlen` by one if the second text has no start token; both are
        corrected here.

        Args:
            first_text: a `str`, or its tokens.
            second_text: a `str`, or its tokens; None: no second text.
            maxlen: largest number of ids; None: no truncation.
            pattern: 'S*E*E' removes the start token of the second text; any other pattern, such as 'S*ES*E', keeps it.
            truncate_from: 'right' removes the last token before the end token, 'left' the first token after the start
                token; or an index, or a list of two indices.

        Returns:
            Two lists of the same length.
        """
        texts = [first_text] if second_text is None else [first_text, second_text]
        sequences = [self.tokenize(text) if isinstance(text, str) else list(text) for text in texts]
        # the start token of the second text is removed after truncation
        dropped = int(bool(pattern == "S*E*E" and self._token_start and any(sequences[1:])))

        if maxlen is not None:
            if truncate_from == "right":
                truncate_from = -int(self._token_end is not None) - 1
            elif truncate_from == "left":
                truncate_from = int(self._token_start is not None)
            elif isinstance(truncate_from, str):
                raise ValueError(f"truncate_from: expected 'right', 'left' or indices, got {truncate_from!r}")
            truncate_sequences(maxlen + dropped, truncate_from, *sequences)

        token_ids = self.tokens_to_ids(sequences[0])
        segment_ids = [0] * len(token_ids)
        for tokens in sequences[1:]:
            token_ids = token_ids + self.tokens_to_ids(tokens[dropped:])
            segment_ids += [1] * (len(token_ids) - len(segment_ids))
        return token_ids, segment_ids

    def tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """Id of each token."""
        return [self.token_to_id(token) for token in tokens]

    def ids_to_tokens(self, ids: Iterable[int]) -> list[str]:
        """Token of each id."""
        return [self.id_to_token(i) for i in ids]

    def token_to_id(self, token: str) -> int:
        """Id of a token."""
        raise NotImplementedError

    def id_to_token(self, i: int) -> str:
        """Token of an id."""
        raise NotImplementedError

    def decode(self, ids: Iterable[int]) -> str:
        """Ids → readable text."""
        raise NotImplementedError

    def huggingface_files(self) -> dict[str, str | bytes]:
        """{file: content} for a Hugging Face folder; ValueError if this tokenizer cannot be written."""
        raise ValueError(f"expected a Tokenizer, got {type(self).__name__}: copy its files")

    def _tokenize(self, text: str) -> list[str]:
        """Text → tokens, without start and end token."""
        raise NotImplementedError


class Tokenizer(TokenizerBase):
    """BERT's tokenizer: lower case → spaces around CJK and punctuation → words → word pieces (##).

    A subclass may override `_is_punctuation`, `_is_cjk_character`, `_is_space` and `_is_control`. An instance calls
    them once for each character.

    Args:
        token_dict: {token: id}, the path of a vocabulary (see `load_vocab`), or a Hugging Face folder. The folder's own
            do_lower_case and longest word count too.
        do_lower_case: convert to lower case and remove accents.
        word_maxlen: a longer word is one token.
        kwargs: arguments of `TokenizerBase`.
    """

    def __init__(
        self,
        token_dict: dict[str, int] | str | os.PathLike,
        do_lower_case: bool = False,
        word_maxlen: int = 200,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        vocabulary: Any = token_dict
        if isinstance(token_dict, (str, os.PathLike)):
            vocabulary = load_vocab(token_dict)
            if os.path.isdir(token_dict):
                settings = tokenizer_files.wordpiece_settings(token_dict)
                do_lower_case = do_lower_case or settings.get("do_lower_case", False)
                word_maxlen = min(word_maxlen, settings.get("word_maxlen", word_maxlen))
        if not isinstance(vocabulary, dict):
            raise TypeError(
                f"token_dict: expected {{token: id}} or the path of a vocabulary, got {type(vocabulary).__name__}; "
                "load_vocab(…, simplified=True) returns a pair whose first item is {token: id}"
            )
        if not isinstance(next(iter(vocabulary), ""), str):
            raise TypeError(f"token_dict: expected {{token: id}}, got the key {next(iter(vocabulary))!r}")
        self._do_lower_case, self._word_maxlen = do_lower_case, word_maxlen
        self._token_dict = vocabulary
        self._token_dict_inv = {i: token for token, i in vocabulary.items()}
        self._vocab_size = len(vocabulary)
        self._ignored = Memo(self._is_ignored)
        self._kinds = Memo(self._classify)
        self._spacing = Memo(self._space_out)
        self._spacing_without_marks = Memo(self._space_out_but_marks)
        self._longest_token = Memo(self._measure_tokens)
        for name in ("pad", "unk", "mask", "start", "end"):
            token = getattr(self, "_token_" + name)
            if token in vocabulary:
                setattr(self, f"_token_{name}_id", vocabulary[token])
        if self._token_unk in vocabulary:
            self._warn_of_unknown("the vocabulary", lambda token: token in vocabulary)

    def token_to_id(self, token: str) -> int:
        """Id of a token; an unknown token has the id of [UNK].

        Raises:
            ValueError: the token is unknown and the vocabulary has no [UNK].
        """
        token_id = self._token_dict.get(token)
        if token_id is None:
            token_id = getattr(self, "_token_unk_id", None)
        if token_id is None:
            raise ValueError(f"token {token!r} is not in the vocabulary, which has no {self._token_unk}")
        return token_id

    def tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """Id of each token, as from `token_to_id`."""
        tokens = list(tokens)
        unknown = getattr(self, "_token_unk_id", None)
        ids: list[Any] = list(map(self._token_dict.get, tokens, repeat(unknown)))
        if type(self).token_to_id is not Tokenizer.token_to_id or (unknown is None and None in ids):
            return super().tokens_to_ids(tokens)
        return ids

    def id_to_token(self, i: int) -> str:
        """Token of an id.

        Raises:
            KeyError: no token has the id.
        """
        return self._token_dict_inv[i]

    def decode(self, ids: Iterable[int], tokens: Sequence[str] | None = None) -> str:
        """Ids (or `tokens`) → readable text: drop [special] tokens, join word pieces, insert spaces.

        A first token '##' is empty (bert4keras crashes).
        """
        kinds, pieces, last = self._kinds, [], " "
        for token in tokens or self.ids_to_tokens(ids):
            if self._is_special(token):
                continue
            if token[:2] == "##":
                piece = token[2:]
            elif len(token) == 1 and kinds[token] == "cjk":
                piece = token
            elif len(token) == 1 and kinds[token] == "punctuation":
                piece = token + " "
            else:
                piece = token if kinds[last] == "cjk" else " " + token
            pieces.append(piece)
            last = piece[-1:] or last

        text = SPACES_IN_A_ROW.sub(" ", "".join(pieces))
        text = ENGLISH_CONTRACTION.sub("'", text)
        text = _SPACE_AFTER[self._cjk_punctuation() + NO_SPACE_AFTER].sub(r"\1", text)
        return SPACE_IN_A_NUMBER.sub(r"\1\2", text).strip()

    def huggingface_files(self) -> dict[str, str | bytes]:
        """{file: content}, as BertTokenizer of transformers reads it; ValueError if the ids have gaps."""
        tokens = sorted(self._token_dict, key=self._token_dict.__getitem__)
        if [self._token_dict[token] for token in tokens] != list(range(len(tokens))):
            raise ValueError("the ids of the vocabulary have gaps, and vocab.txt cannot have them")
        config = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self._do_lower_case,
            "cls_token": self._token_start,
            "sep_token": self._token_end,
            "pad_token": self._token_pad,
            "unk_token": self._token_unk,
            "mask_token": self._token_mask,
        }
        return {
            "vocab.txt": "".join(token + "\n" for token in tokens),
            "tokenizer_config.json": json.dumps(config, indent=2, ensure_ascii=False) + "\n",
        }

    def rematch(self, text: str, tokens: Sequence[str]) -> list[list[int]]:
        """Indices of the characters of each token in `text`; [] for a [special] token.

        Indices are correct even if lower case is longer than the text; in bert4keras they shift. Tokens that
        `token_translate` replaced are searched in their original form; bert4keras crashes.

        Raises:
            ValueError: the rest of the text does not contain a token.
        """
        sources: Sequence[int] = range(len(text))
        characters: Iterable[str] = text
        if self._do_lower_case:
            if len(text.lower()) > len(text):
                sources = [i for i, ch in enumerate(text) for _ in ch.lower()]
            characters = map(_NORMALIZED.__getitem__, text.lower())
        ignored = self._ignored
        visible = [(i, ch) for i, chs in zip(sources, characters) for ch in chs if not ignored[ch]]
        indices = [i for i, _ in visible]
        searched = "".join([ch for _, ch in visible])

        matches: list[list[int]] = []
        offset = 0
        for token in tokens:
            if self._is_special(token):
                matches.append([])
                continue
            stem = self.stem(token)
            start = searched.find(stem, offset)
            if token in self._token_translate_inv:
                original = self.stem(self._token_translate_inv[token])
                place = searched.find(original, offset)
                if place >= 0 and (start < 0 or place < start):
                    start, stem = place, original
            if start < 0:
                rest = searched[offset : offset + 20]
                raise ValueError(f"rematch: token {token!r} is not in the text from {rest!r} on")
            offset = start + len(stem)
            matches.append(indices[start:offset])
        return matches

    def _tokenize(self, text: str, pre_tokenize: bool = True) -> list[str]:
        """Text → tokens. Words from the user's `pre_tokenize` that are in the vocabulary are not split."""
        tokens: list[str] = []
        if pre_tokenize and self._pre_tokenize is not None:
            for word in self._pre_tokenize(lowercase_and_normalize(text) if self._do_lower_case else text):
                tokens += [word] if word in self._token_dict else self._tokenize(word, False)
            return tokens

        spacing = self._spacing
        if self._do_lower_case:  # the same as lowercase_and_normalize with one pass less over the text
            text, spacing = text.lower(), self._spacing_without_marks
            if not text.isascii():
                text = unicodedata.normalize("NFD", text)
        # Most words are one character or one token and need no call, unless a subclass overrides the method.
        is_overridden = type(self)._word_piece_tokenize is not Tokenizer._word_piece_tokenize
        whole_words: Any = () if is_overridden else self._token_dict
        cache: dict[str, list[str]] = {}  # for this text only, because the vocabulary may change afterwards
        for word in text.translate(spacing).split():
            if word in whole_words or len(word) == 1 and not is_overridden:
                tokens.append(word)
            else:
                if word not in cache:
                    cache[word] = self._word_piece_tokenize(word)
                tokens += cache[word]
        return tokens

    def _word_piece_tokenize(self, word: str) -> list[str]:
        """The longest token at the beginning of the word, then the longest ##token, …; if nothing matches: [word]."""
        vocabulary = self._token_dict
        if word in vocabulary or len(word) > self._word_maxlen:
            return [word]

        last = next(reversed(vocabulary), None) if sys.version_info >= (3, 8) else None
        longest = self._longest_token[len(vocabulary), last]
        tokens, prefix, start = [], "", 0
        while start < len(word):
            for end in range(min(len(word), start + longest), start, -1):
                token = prefix + word[start:end]
                if token in vocabulary:
                    break
            else:
                return [word]
            tokens.append(token)
            prefix, start = "##", end
        return tokens

    def _measure_tokens(self, state: Any) -> int:
        """Length of the longest token.

        `state`, the number of tokens and the last token, is the key of the cache, because users edit `_token_dict`.
        """
        return max(map(len, self._token_dict), default=0)

    def _classify(self, ch: str) -> str:
        """The first of 'cjk', 'punctuation', 'space', 'ignored' and 'letter' that is true for a character."""
        if self._is_cjk_character(ch):
            return "cjk"
        if self._is_punctuation(ch):
            return "punctuation"
        if self._is_space(ch):
            return "space"
        return "ignored" if self._ignored[ch] else "letter"

    def _is_ignored(self, ch: str) -> bool:
        return ch in "\0\ufffd" or self._is_control(ch)

    def _space_out(self, code: int) -> str | int | None:
        """Replacement of a character (its code) before the text is split at white space; None removes it."""
        ch = chr(code)
        kind = self._kinds[ch]
        if kind in ("cjk", "punctuation"):
            return f" {ch} "
        return {"space": " ", "ignored": None, "letter": code}[kind]

    def _space_out_but_marks(self, code: int) -> str | int | None:
        """Like `_space_out`, but remove non-spacing marks."""
        return None if unicodedata.category(chr(code)) == "Mn" else self._spacing[code]

    @staticmethod
    def stem(token: str) -> str:
        """A token without the prefix ## of a continuing word piece."""
        return token[2:] if token[:2] == "##" else token

    @staticmethod
    def _is_space(ch: str) -> bool:
        return ch in SPACES or unicodedata.category(ch) == "Zs"

    @staticmethod
    def _is_punctuation(ch: str) -> bool:
        """True for punctuation of any script and for all symbols of ASCII."""
        return ch in PUNCTUATION or unicodedata.category(ch)[0] == "P"

    @staticmethod
    def _cjk_punctuation() -> str:
        return CJK_PUNCTUATION

    @staticmethod
    def _is_cjk_character(ch: str) -> bool:
        code = ord(ch)
        return code >= 0x3400 and any(first <= code <= last for first, last in CJK_BLOCKS)

    @staticmethod
    def _is_control(ch: str) -> bool:
        return unicodedata.category(ch) in ("Cc", "Cf")

    @staticmethod
    def _is_special(ch: str) -> bool:
        """True for a token like [CLS]."""
        return ch[:1] == "[" and ch[-1:] == "]"

    @staticmethod
    def _is_redundant(token: str) -> bool:
        """True for a token that no text is split into: several characters with CJK or punctuation among them."""
        return len(token) > 1 and any(
            Tokenizer._is_cjk_character(ch) or Tokenizer._is_punctuation(ch) for ch in Tokenizer.stem(token)
        )


class SpTokenizer(TokenizerBase):
    """A SentencePiece model with the methods of a tokenizer; needs the package sentencepiece.

    If the model has no padding piece, there is no `_token_pad_id` (bert4keras crashes).

    Args:
        sp_model_path: path of the model, of a tokenizer.json with a Unigram model, or of a Hugging Face folder.
        kwargs: arguments of `TokenizerBase`.
    """

    def __init__(self, sp_model_path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        import sentencepiece

        self.sp_model = sentencepiece.SentencePieceProcessor()
        sp_model_path = tokenizer_files.find_file(sp_model_path, tokenizer_files.SENTENCEPIECE_FILES)
        converted = tokenizer_files.sentencepiece_model(sp_model_path)
        self._prepare = converted[1] if converted else None
        try:
            if converted:
                self.sp_model.LoadFromSerializedProto(converted[0])
            else:
                self.sp_model.Load(sp_model_path)
        except (OSError, RuntimeError) as error:
            if not os.path.exists(sp_model_path):
                raise FileNotFoundError(f"{sp_model_path}: there is no such file") from error
            raise ValueError(
                f"{sp_model_path}: expected a SentencePiece model, got {error}. Use Tokenizer for a vocabulary with "
                "one token per line"
            ) from error
        self._token_unk = self.sp_model.id_to_piece(self.sp_model.unk_id())
        self._vocab_size = self.sp_model.get_piece_size()
        names = ["unk", "mask", "start", "end"]
        if self.sp_model.pad_id() >= 0:
            self._token_pad = self.sp_model.id_to_piece(self.sp_model.pad_id())
            names.append("pad")
        for name in names:
            token = getattr(self, "_token_" + name)
            if token is not None:
                setattr(self, f"_token_{name}_id", self.sp_model.piece_to_id(token))
        unknown = self.sp_model.unk_id()
        self._warn_of_unknown(
            str(sp_model_path),
            lambda token: token == self._token_unk or self.sp_model.piece_to_id(token) != unknown,
        )

    def token_to_id(self, token: str) -> int:
        """Id of a token; an unknown token has the id of <unk>."""
        return self.sp_model.piece_to_id(token)

    def id_to_token(self, i: int) -> str:
        """Token of an id; '' for an id beyond the model's, which a padded vocabulary may produce."""
        return self.sp_model.id_to_piece(int(i)) if i < self._vocab_size else ""

    def huggingface_files(self) -> dict[str, str | bytes]:
        """{"spiece.model": content}; ValueError if a tokenizer.json does more than the model."""
        if self._prepare is not None:
            raise ValueError("this tokenizer.json has a normalizer that no spiece.model has: copy the file")
        return {"spiece.model": self.sp_model.serialized_model_proto()}

    def decode(self, ids: Iterable[int]) -> str:
        """Ids → readable text; translated tokens are translated back first."""
        tokens = [self._token_translate_inv.get(token) or token for token in self.ids_to_tokens(ids)]
        return convert_to_unicode(self.sp_model.decode_pieces(tokens))

    def _tokenize(self, text: str) -> list[str]:
        if self._pre_tokenize is not None:
            text = " ".join(self._pre_tokenize(text))
        return self.sp_model.encode_as_pieces(text if self._prepare is None else self._prepare(text))

    def _is_special(self, i: int) -> bool:
        """True for an id of the model that represents no text: control, unknown or unused."""
        return self.sp_model.is_control(i) or self.sp_model.is_unknown(i) or self.sp_model.is_unused(i)

    def _is_decodable(self, i: int) -> bool:
        """True for an id that `decode` shows."""
        return i < self._vocab_size and not self._is_special(i)


class BpeTokenizer(TokenizerBase):
    """Byte-level BPE, as GPT-2 and RoBERTa have it, with the methods of a tokenizer; needs the package tokenizers.

    RoBERTa's sequences begin with <s> and end with </s>; GPT-2's have no such tokens.

    Args:
        path: a Hugging Face folder, a tokenizer.json with a BPE model, or a vocab.json beside its merges.txt.
        token_start: start token; None: no start token.
        token_end: end token; None: no end token.
        kwargs: arguments of `TokenizerBase`.

    Raises:
        ImportError: the package tokenizers is not installed.
        FileNotFoundError: there is no such file.
        ValueError: the file holds another kind of tokenizer.
    """

    def __init__(
        self, path: str | os.PathLike, token_start: Any = None, token_end: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(token_start=token_start, token_end=token_end, **kwargs)
        path = tokenizer_files.find_file(path, tokenizer_files.BPE_FILES)
        self.bpe_model = tokenizer_files.open_bpe(path)
        self._vocab_size = self.bpe_model.get_vocab_size()
        known = self.bpe_model.get_vocab()
        for name, tokens in (("pad", ("<pad>", END)), ("unk", ("<unk>", END)), ("mask", ("<mask>",))):
            setattr(self, "_token_" + name, next((one for one in tokens if one in known), None))
        for name in ("pad", "unk", "mask", "start", "end"):
            token = getattr(self, "_token_" + name)
            if token in known:
                setattr(self, f"_token_{name}_id", known[token])
        self._warn_of_unknown(path, lambda token: token in known)

    def token_to_id(self, token: str) -> int:
        """Id of a token; an unknown token has the id of `<unk>`, or of `<|endoftext|>`."""
        found = self.bpe_model.token_to_id(token)
        return getattr(self, "_token_unk_id", 0) if found is None else found

    def id_to_token(self, i: int) -> str:
        """Token of an id; '' for an id beyond the vocabulary."""
        return self.bpe_model.id_to_token(int(i)) or ""

    def huggingface_files(self) -> dict[str, str | bytes]:
        """{"tokenizer.json": content}"""
        return {"tokenizer.json": self.bpe_model.to_str(pretty=True)}

    def decode(self, ids: Iterable[int]) -> str:
        """Ids → text, without special tokens."""
        return self.bpe_model.decode([int(i) for i in ids])

    def _tokenize(self, text: str) -> list[str]:
        if self._pre_tokenize is not None:
            text = " ".join(self._pre_tokenize(text))
        return self.bpe_model.encode(text, add_special_tokens=False).tokens
