"""What the C library does with memory that is freed.

TensorFlow asks for the memory of each operation's result and frees it after use. glibc hands much of that back to the
system, and to be given it anew, page by page, takes as long as the mathematics: a training step of a small BERT took
260 ms on TensorFlow 2.21, 137 with the memory kept.
"""

import ctypes
import os

from bert4keras3.backend.flavour import is_on

# Of malloc.h
TRIM_THRESHOLD, MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for itself; whether that was done.

    It is not where KEEP_MEMORY=0 or an own setting of glibc's malloc says otherwise, nor without glibc.
    """
    is_set = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if is_set or not is_on("KEEP_MEMORY", "1"):
        return False
    try:
        set_option = ctypes.CDLL("libc.so.6").mallopt
    except (AttributeError, OSError):
        return False
    largest = 2**31 - 1
    return bool(set_option(TRIM_THRESHOLD, largest) and set_option(MMAP_MAX, 0))
