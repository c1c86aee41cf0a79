"""Text files with an index of their lines."""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Iterator
from typing import Any

from bert4keras3.snippets.progress import with_progress
from bert4keras3.snippets.text import convert_to_str, convert_to_unicode


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
    ):
        """`indexable`: True builds the index now; a path reads it from there, or builds and writes it there.

        `show_tqdm` shows how far building has come. Other arguments are those of the builtin.
        """
        self.name, self.encoding, self.errors = name, encoding, errors
        as_text: dict[str, Any] = {} if "b" in mode else {"encoding": encoding, "errors": errors}
        self.file = builtins.open(name, mode, **as_text)
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
        self.seek(0)
        offsets = [self.tell()]
        lines = iter(
            self.file.readline, self.file.read(0)
        )  # iterating over the file itself would forbid tell
        for _ in with_progress(lines, show_tqdm, unit=" lines"):
            offsets.append(self.tell())
        self.offsets = offsets[:-1]
        self.seek(0)

    def __getitem__(self, key: int) -> str:
        """Line number `key`, from 0; negative ones count from the end."""
        self.seek(self.offsets[key])
        return self.readline()

    def __len__(self) -> int:
        """The number of lines of an indexable file."""
        return len(self.offsets)

    def __iter__(self) -> Iterator[str]:
        return map(self._decode, self.file)

    def next(self) -> str:
        """The next line; StopIteration after the last."""
        return self._decode(next(self.file))

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

    def flush(self) -> None:
        """Hand what was written to the system."""
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def tell(self) -> int:
        """The place in the file, for `seek`."""
        return self.file.tell()

    def seek(self, offset: int = 0) -> int:
        """Go to a place that `tell` gave."""
        return self.file.seek(offset)

    def __enter__(self) -> open:
        return self

    def __exit__(self, type: Any, value: Any, tb: Any) -> None:
        self.close()

    def _decode(self, text: Any) -> Any:
        return convert_to_unicode(text, self.encoding, self.errors) if self.encoding else text

    def _encode(self, text: Any) -> Any:
        if isinstance(text, str) and self.encoding and "b" in self.file.mode:
            return text.encode(self.encoding, self.errors)
        return convert_to_str(text, self.encoding, self.errors) if self.encoding else text
