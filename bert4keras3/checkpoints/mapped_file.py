"""Files mapped into memory: arrays use the pages of the system's cache, without a second copy."""

import mmap
import os

import numpy as np

from .errors import damaged


class MappedFile:
    """Read-only bytes of a file. The file is mapped when it is opened, so replacing it later does no harm."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.size else None

    def view(self, offset, size):
        """uint8 view of a range inside the file."""
        if not size:
            return np.empty(0, np.uint8)
        if self._map.size() < offset + size:  # reading pages beyond the end would kill the process
            raise damaged(
                self.path, f"it was cut from {self.size} to {self._map.size()} bytes after it was opened"
            )
        return np.frombuffer(self._map, np.uint8, count=size, offset=offset)

    def release(self):
        """Give back the memory of all pages; pages that are read again are mapped again. Python 3.7 cannot do it."""
        if hasattr(mmap, "MADV_DONTNEED") and self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)
