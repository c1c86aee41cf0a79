"""Strings: width, case, encoding, segmentation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from bert4keras3.snippets.memo import Memo

# Full-width forms of the printable ASCII characters, and the ideographic space.
HALF_WIDTH = dict(zip(range(0xFF01, 0xFF5F), range(0x21, 0x7F)))
HALF_WIDTH[0x3000] = 0x20


def is_string(s: Any) -> bool:
    """True for a `str`; False for bytes."""
    return isinstance(s, str)


def convert_to_unicode(text: str | bytes, encoding: str = "utf-8", errors: str = "ignore") -> str:
    """Decode bytes; return anything else unchanged."""
    return text.decode(encoding, errors) if isinstance(text, bytes) else text


# On Python 2 the two functions were inverses; on Python 3 both return a `str`.
convert_to_str = convert_to_unicode


def strQ2B(ustring: str) -> str:
    """Full-width characters → half-width characters (bert4keras raises NameError on Python 3)."""
    return ustring.translate(HALF_WIDTH)


def string_matching(s: str, keywords: Iterable[str]) -> bool:
    """True if at least one of `keywords`, regular expressions, matches a part of `s`."""
    return any(re.search(keyword, s) for keyword in keywords)


_WITHOUT_MARKS = Memo(lambda code: None if unicodedata.category(chr(code)) == "Mn" else code)


def lowercase_and_normalize(text: str) -> str:
    """Lower case → canonical decomposition (NFD) → remove non-spacing marks: 'É' → 'e'."""
    text = text.lower()
    if text.isascii():
        return text
    return unicodedata.normalize("NFD", text).translate(_WITHOUT_MARKS)


def text_segmentate(
    text: str, maxlen: int, seps: Sequence[str] = "\n", strips: str | None = None
) -> list[str]:
    """Split `text` into pieces of about `maxlen` characters, at the first of `seps`, then at the next ones.

    White space and then the characters `strips` are stripped from each piece. A piece without a separator may be
    longer.
    """
    text = text.strip().strip(strips)
    if not seps or len(text) <= maxlen:
        return [text]

    separator, finer = seps[0], seps[1:]
    chunks = [""]
    for piece in text.split(separator):
        if chunks[-1] and piece and len(chunks[-1]) + len(piece) >= maxlen:
            chunks.append("")
        chunks[-1] += piece + separator
    chunks[-1] = chunks[-1][: -len(separator)]
    return [short for chunk in chunks if chunk for short in text_segmentate(chunk, maxlen, finer, strips)]
