"""Text files with an index of their lines."""

from __future__ import annotations

import builtins
import codecs
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from bert4keras3.snippets.progress import with_progress
from bert4keras3.snippets.text import convert_to_str, convert_to_unicode

# Encodings in which the byte of a line end is never a part of another character.
PLAIN_ENCODINGS = {"ascii", "utf-8", "iso8859-1", "cp1252", "gb2312", "gbk", "gb18030", "big5"}
OLD_LINE_END = re.compile(rb"\r(?!\n|\Z)")


def line_offsets(path: str | os.PathLike, binary: bool = False, show_tqdm: bool = False) -> list[int]:
    """The offset in bytes of each line. A lone carriage return ends a line too, unless the file is `binary`."""
    offsets, start = [], 0
    with builtins.open(path, "rb") as file:
        for line in with_progress(file, show_tqdm, unit=" lines"):
            offsets.append(start)
            if not binary and b"\r" in line:
                offsets.extend(start + end.end() for end in OLD_LINE_END.finditer(line))
            start += len(line)
    return offsets


class open:
    """A file like that of the builtin `open`; with `indexable`, `file[i]` reads line i directly.

    With an `encoding`, a file in binary mode is decoded and encoded too (bert4keras crashes).

    Args:
        name: path of the file.
        mode, encoding, errors: as in the builtin `open`.
        indexable: True builds the index; a path loads the index from there, or builds it and saves it there.
        show_tqdm: show a progress bar while the index is built.
    """

    def __init__(
        self,
        name: str | os.PathLike,
        mode: str = "r",
        encoding: str | None = None,
        errors: str = "strict",
        indexable: bool | str | os.PathLike = False,
        show_tqdm: bool = False,
    ) -> None:
        self.name, self.encoding, self.errors = name, encoding, errors
        as_text: dict[str, Any] = {} if "b" in mode else {"encoding": encoding, "errors": errors}
        self.file: Any = builtins.open(name, mode, **as_text)
        self.offsets: list[int] | None = None
        if not indexable:
            return
        if indexable is not True and os.path.exists(indexable):
            with builtins.open(indexable) as saved:
                self.offsets = json.load(saved)
            return
        self.create_indexes(show_tqdm)
        if indexable is not True:
            with builtins.open(indexable, "w") as saved:
                json.dump(self.offsets, saved)

    def create_indexes(self, show_tqdm: bool = False) -> None:
        """Find the offset of each line and store the list in `offsets`; afterwards the file is at its beginning."""
        binary = "b" in self.file.mode
        if binary or codecs.lookup(self.file.encoding).name in PLAIN_ENCODINGS:
            self.offsets = line_offsets(self.name, binary, show_tqdm)
        else:  # 50 times slower, because tell encodes the decoder's state in its result
            self.seek(0)
            offsets = [0]
            for _ in with_progress(iter(self.readline, ""), show_tqdm, unit=" lines"):
                offsets.append(self.tell())
            self.offsets = offsets[:-1]
        self.seek(0)

    def __getitem__(self, key: int) -> str:
        """Line number `key` of an indexable file, from 0; negative numbers count from the end."""
        if self.offsets is None:
            raise TypeError(f"{self.name}: open the file with indexable=True to read lines by number")
        self.seek(self.offsets[key])
        return self.readline()

    def __len__(self) -> int:
        """Number of lines of an indexable file."""
        if self.offsets is None:
            raise TypeError(f"{self.name}: open the file with indexable=True to count its lines")
        return len(self.offsets)

    def __iter__(self) -> Iterator[str]:
        return map(self._decode, self.file)

    def next(self) -> str:
        """The next line; StopIteration after the last line."""
        line = self.readline()  # next(self.file) would forbid tell
        if not line:
            raise StopIteration
        return line

    __next__ = next

    def read(self) -> str:
        """The rest of the file."""
        return self._decode(self.file.read())

    def readline(self) -> str:
        """The next line, '' after the last."""
        return self._decode(self.file.readline())

    def readlines(self) -> list[str]:
        """The rest of the lines."""
        return list(self)

    def write(self, text: str) -> None:
        """Write text; no line end is added."""
        self.file.write(self._encode(text))

    def seek(self, offset: int = 0) -> int:
        """Go to an offset that `tell` returned."""
        return self.file.seek(offset)

    def __getattr__(self, name: str) -> Any:
        """Other attributes of the file: flush, close, tell, closed, …"""
        if name == "file":  # the builtin `open` raised an error, so the attribute is missing
            raise AttributeError(name)
        return getattr(self.file, name)

    def __enter__(self) -> open:
        return self

    def __exit__(self, type: Any, value: Any, tb: Any) -> None:
        self.file.close()

    def _decode(self, text: Any) -> Any:
        return convert_to_unicode(text, self.encoding, self.errors) if self.encoding else text

    def _encode(self, text: Any) -> Any:
        if "b" not in self.file.mode:
            return convert_to_str(text, self.encoding or "utf-8", self.errors)
        return text.encode(self.encoding, self.errors) if isinstance(text, str) and self.encoding else text
