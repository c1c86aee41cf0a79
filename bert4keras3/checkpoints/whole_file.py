"""Files that take their names when they are whole."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import BinaryIO, Iterator


@contextmanager
def whole_file(path: str) -> Iterator[BinaryIO]:
    """Context with a binary file, which is on disk before it gets its name. An error leaves the old file, or none."""
    beside = f"{path}.{uuid.uuid4().hex}.tmp"  # processes on several machines may write one file
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.remove(beside)
