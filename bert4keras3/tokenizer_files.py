"""Tokenizer files of a Hugging Face folder: which file it is, and what a tokenizer of ours takes from it."""

from __future__ import annotations

import base64
import functools
import json
import os
import struct
import unicodedata
from typing import Any, Callable, Sequence

WORDPIECE_FILES = ("tokenizer.json", "vocab.txt")
SENTENCEPIECE_FILES = ("tokenizer.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
BPE_FILES = ("tokenizer.json", "vocab.json")
CLASSES = {"WordPiece": "Tokenizer", "Unigram": "SpTokenizer", "BPE": "BpeTokenizer"}

# Of sentencepiece_model.proto: kinds of pieces, and the fields that name the pieces bos, eos and pad.
NORMAL, UNKNOWN, CONTROL = 1, 2, 3
ROLES = {46: ("<s>", "[CLS]"), 47: ("</s>", "[SEP]"), 48: ("<pad>", "[PAD]")}
SPECIAL_BPE = ("<s>", "</s>", "<pad>", "<unk>", "<mask>", "<|endoftext|>")
STEPS: dict[str, Callable[[str], str]] = {
    "Lowercase": str.lower,
    "StripAccents": lambda text: "".join(ch for ch in text if unicodedata.category(ch) != "Mn"),
    **{form: functools.partial(unicodedata.normalize, form) for form in ("NFC", "NFD", "NFKC", "NFKD")},
}


def find_file(path: Any, names: Sequence[str]) -> str:
    """The path itself, or the first of these files in a folder.

    Raises:
        FileNotFoundError: the folder has none of the files.
    """
    path = os.fspath(path)
    if not os.path.isdir(path):
        return path
    found = next((name for name in names if os.path.isfile(os.path.join(path, name))), None)
    if found is None:
        listed = ", ".join(sorted(os.listdir(path))[:10]) or "nothing"
        raise FileNotFoundError(f"{path}: expected a folder with {' or '.join(names)}, found {listed}")
    return os.path.join(path, found)


def read_json(path: str) -> Any:
    """Content of a JSON file; None if there is no such file.

    Raises:
        ValueError: the file is no JSON in UTF-8.
    """
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8-sig") as file:
        try:
            return json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: expected JSON in UTF-8, got {error}") from error


def read_model(path: str, kind: str) -> Any:
    """The content of a tokenizer.json whose model is of this kind; None for a file that is no tokenizer.json.

    Raises:
        ValueError: the model is of another kind, which the message names with the class that reads it.
    """
    if not path.endswith(".json"):
        return None
    content = read_json(path)
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        return None
    found = model.get("type") or ("BPE" if "merges" in model else "WordPiece")
    if found != kind:
        remedy = f"Use {CLASSES[found]}({path!r})" if found in CLASSES else f"{found} is not supported"
        raise ValueError(f"{path}: expected a {kind} model, got {found}. {remedy}")
    return content


def added_tokens(content: dict, path: str) -> dict[str, int]:
    """{token: id} of the tokens that a tokenizer.json has beside its model."""
    try:
        return {str(one["content"]): int(one["id"]) for one in content.get("added_tokens") or []}
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: added_tokens: expected objects with content and id ({error!r})") from error


def wordpiece_vocabulary(path: str) -> dict[str, int] | None:
    """{token: id}, by id, of a tokenizer.json with a WordPiece model; None for a file that is no tokenizer.json.

    Raises:
        ValueError: the file has another kind of model, or pieces that do not begin with ##.
    """
    content = read_model(path, "WordPiece")
    if content is None:
        return None
    vocabulary = content["model"].get("vocab")
    if not isinstance(vocabulary, dict) or any(type(i) is not int for i in vocabulary.values()):
        raise ValueError(f"{path}: model.vocab: expected {{token: id}}")
    prefix = content["model"].get("continuing_subword_prefix", "##")
    if prefix != "##":
        raise ValueError(f"{path}: expected pieces that continue a word to begin with '##', got {prefix!r}")
    vocabulary = {**vocabulary, **added_tokens(content, path)}
    return dict(sorted(vocabulary.items(), key=lambda item: item[1]))


def wordpiece_settings(folder: Any) -> dict[str, Any]:
    """Arguments of `Tokenizer` from a folder: do_lower_case and word_maxlen, as far as its files say them.

    Raises:
        ValueError: the folder's tokenizer removes accents without converting to lower case, or the reverse, or does not
            split Chinese characters; `Tokenizer` does neither.
    """
    path = find_file(folder, WORDPIECE_FILES)
    content = read_model(path, "WordPiece")
    if content is None:
        config = read_json(os.path.join(os.fspath(folder), "tokenizer_config.json")) or {}
        lower, accents, chinese = (
            config.get(name, default)
            for name, default in (
                ("do_lower_case", None),
                ("strip_accents", None),
                ("tokenize_chinese_chars", True),
            )
        )
        settings = {}
    else:
        normalizer = content.get("normalizer") or {}
        if normalizer.get("type", "BertNormalizer") != "BertNormalizer":
            raise ValueError(f"{path}: expected the normalizer BertNormalizer, got {normalizer.get('type')}")
        lower, accents = normalizer.get("lowercase"), normalizer.get("strip_accents")
        chinese = normalizer.get("handle_chinese_chars", True)
        settings = {"word_maxlen": content["model"].get("max_input_chars_per_word", 100)}
    if accents is not None and bool(accents) != bool(lower):
        raise ValueError(
            f"{path}: lower case is {bool(lower)} and strip_accents is {accents}; Tokenizer does both or neither"
        )
    if not chinese:
        raise ValueError(f"{path}: the tokenizer does not split Chinese characters, and Tokenizer does")
    return settings if lower is None else dict(settings, do_lower_case=bool(lower))


def sentencepiece_model(path: str) -> tuple[bytes, Callable[[str], str]] | None:
    """A SentencePiece model made from a tokenizer.json, and the function that prepares a text for it.

    Returns:
        None for a file that is no tokenizer.json.

    Raises:
        ValueError: the file has another kind of model, or a step that SentencePiece does not have.
    """
    from bert4keras3.checkpoints.wire import bytes_field, fixed32_field, varint_field

    content = read_model(path, "Unigram")
    if content is None:
        return None
    pieces, unknown, special = unigram_pieces(content, path)
    charsmap, steps = normalizer_steps(content.get("normalizer"), path)
    if check_pre_tokenizer(content.get("pre_tokenizer"), path):
        steps.append(lambda text: " ".join(text.split()))

    encoded = b""
    for i, (piece, score) in enumerate(pieces):
        kind = UNKNOWN if i == unknown else CONTROL if piece in special else NORMAL
        (bits,) = struct.unpack("<I", struct.pack("<f", score))
        encoded += bytes_field(
            1, bytes_field(1, piece.encode("utf-8")) + fixed32_field(2, bits) + varint_field(3, kind)
        )
    trainer = varint_field(3, 1) + bytes_field(45, pieces[unknown][0].encode("utf-8"))
    for number, names in ROLES.items():
        name = next((name for name in names if name in special), None)
        trainer += bytes_field(number, name.encode("utf-8")) if name else b""
    encoded += bytes_field(2, trainer) + bytes_field(3, bytes_field(2, charsmap) if charsmap else b"")

    def prepare(text):
        for step in steps:
            text = step(text)
        return text

    return encoded, prepare


def unigram_pieces(content, path):
    """([(piece, score)] by id, id of the unknown piece, special tokens)."""
    try:
        pieces = [(str(piece), float(score)) for piece, score in content["model"]["vocab"]]
        unknown = pieces[content["model"]["unk_id"]] and content["model"]["unk_id"]
        special = {one["content"] for one in content.get("added_tokens") or [] if one.get("special")}
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected model.vocab [[piece, score], …] and model.unk_id ({error!r})"
        ) from error
    ids = {piece: i for i, (piece, _) in enumerate(pieces)}
    for token, i in sorted(added_tokens(content, path).items(), key=lambda item: item[1]):
        if ids.setdefault(token, len(pieces)) != i:
            raise ValueError(f"{path}: added_tokens: {token!r}: expected the id {ids[token]}, got {i}")
        if i == len(pieces):
            pieces.append((token, 0.0))
    return pieces, unknown, special


def normalizer_steps(normalizer, path):
    """(SentencePiece's table of characters, functions of a text) of a normalizer, which may be a sequence."""
    charsmap, steps = b"", []
    for one in flat(normalizer, "normalizers"):
        kind = one.get("type")
        pattern = one.get("pattern") or {}
        if kind == "Precompiled":
            charsmap = base64.b64decode(one["precompiled_charsmap"])
        elif kind == "Strip" or pattern.get("Regex") == " {2,}":
            pass  # SentencePiece removes these spaces
        elif charsmap:
            raise ValueError(f"{path}: the normalizer {kind} after Precompiled is not supported")
        elif kind == "Replace" and "String" in pattern:
            steps.append(lambda text, old=pattern["String"], new=one["content"]: text.replace(old, new))
        elif kind in STEPS:
            steps.append(STEPS[kind])
        else:
            raise ValueError(
                f"{path}: the normalizer {kind} is not supported. Use the SentencePiece model itself"
            )
    return charsmap, steps


def check_pre_tokenizer(pre_tokenizer, path):
    """Whether the text is split at white space; ValueError for what SentencePiece does not do."""
    kinds = flat(pre_tokenizer, "pretokenizers")
    for one in kinds:
        known = one.get("type") in ("WhitespaceSplit", "Metaspace")
        if not known or one.get("prepend_scheme", "always") == "never":
            raise ValueError(
                f"{path}: the pre_tokenizer {one} is not supported. Use the SentencePiece model itself"
            )
    return any(one["type"] == "WhitespaceSplit" for one in kinds)


def flat(step, name):
    """The steps of a tokenizer.json: a step may be None or a sequence."""
    if not isinstance(step, dict):
        return []
    if step.get("type") != "Sequence":
        return [step]
    return [inner for one in step.get(name) or [] for inner in flat(one, name)]


def open_bpe(path: str) -> Any:
    """The tokenizer of the package tokenizers for a tokenizer.json, or a vocab.json beside its merges.txt.

    Raises:
        ImportError: the package is not installed.
        FileNotFoundError: a file is missing.
        ValueError: the file holds another kind of tokenizer, or the package refuses it.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError("BpeTokenizer needs the package tokenizers: pip install tokenizers") from error
    merges = os.path.join(os.path.dirname(path), "merges.txt")
    content = read_model(path, "BPE")
    for one in [path] if content else [path, merges]:
        if not os.path.isfile(one):
            raise FileNotFoundError(f"{one}: there is no such file")
    try:
        if content:
            return tokenizers.Tokenizer.from_file(path)
        model = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(path, merges))
    except Exception as error:  # the package raises Exception itself
        raise ValueError(f"{path}: expected a byte-level BPE, got {error}") from error
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    model.add_special_tokens([one for one in SPECIAL_BPE if model.token_to_id(one) is not None])
    return model
