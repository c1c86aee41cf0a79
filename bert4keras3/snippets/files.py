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

# Those in which the bytes of a line end are nothing else.
PLAIN_ENCODINGS = {"ascii", "utf-8", "iso8859-1", "cp1252", "gb2312", "gbk", "gb18030", "big5"}
OLD_LINE_END = re.compile(rb"\r(?!\n|\Z)")


def line_offsets(path: str | os.PathLike, binary: bool = False, show_tqdm: bool = False) -> list[int]:
    """The byte at which each line begins; a lone carriage return ends one too, but in a `binary` file."""
    offsets, start = [], 0
    with builtins.open(path, "rb") as file:
        for line in with_progress(file, show_tqdm, unit=" lines"):
            offsets.append(start)
            if not binary and b"\r" in line:
                offsets.extend(start + end.end() for end in OLD_LINE_END.finditer(line))
            start += len(line)
    return offsets


class open:
    """A file as the builtin `open` gives it, whose lines `file[i]` finds at once if it is `indexable`.

    A file in binary mode takes an `encoding` too, in which it is decoded and encoded (the reference crashes).
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
        """`indexable`: True builds the index now; a path reads it from there, or builds and writes it there.

        `show_tqdm` shows how far building has come. Other arguments are those of the builtin.
        """
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
        """Note where each line begins, in `offsets`; the file is then at its beginning."""
        binary = "b" in self.file.mode
        if binary or codecs.lookup(self.file.encoding).name in PLAIN_ENCODINGS:
            self.offsets = line_offsets(self.name, binary, show_tqdm)
        else:  # fifty times as slow, as tell puts what the decoder remembers into its number
            self.seek(0)
            offsets = [0]
            for _ in with_progress(iter(self.readline, ""), show_tqdm, unit=" lines"):
                offsets.append(self.tell())
            self.offsets = offsets[:-1]
        self.seek(0)

    def __getitem__(self, key: int) -> str:
        """Line number `key` of an indexable file, from 0; negative ones count from the end."""
        if self.offsets is None:
            raise TypeError(f"{self.name}: lines have numbers in a file that is opened with indexable=True")
        self.seek(self.offsets[key])
        return self.readline()

    def __len__(self) -> int:
        """The number of lines of an indexable file."""
        if self.offsets is None:
            raise TypeError(f"{self.name}: lines are counted in a file that is opened with indexable=True")
        return len(self.offsets)

    def __iter__(self) -> Iterator[str]:
        return map(self._decode, self.file)

    def next(self) -> str:
        """The next line; StopIteration after the last."""
        line = self.readline()  # next(self.file) would forbid tell
        if not line:
            raise StopIteration
        return line

    __next__ = next

    def read(self) -> str:
        """All that is left."""
        return self._decode(self.file.read())

    def readline(self) -> str:
        """The next line, '' after the last."""
        return self._decode(self.file.readline())

    def readlines(self) -> list[str]:
        """The lines that are left."""
        return list(self)

    def write(self, text: str) -> None:
        """Write text, with no line end of its own."""
        self.file.write(self._encode(text))

    def seek(self, offset: int = 0) -> int:
        """Go to a place that `tell` gave."""
        return self.file.seek(offset)

    def __getattr__(self, name: str) -> Any:
        """Whatever else the file has: flush, close, tell, closed, …"""
        if name == "file":  # the builtin raised, so there is none
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
