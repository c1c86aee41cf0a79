"""A setting of the C library that keeps freed memory while a model trains on TensorFlow.

TensorFlow allocates the result of each operation and frees it after use. glibc returns much of this memory to the
system, and gets it back page by page, which takes as long as the computation. A training step of a small BERT took
260 ms on TensorFlow 2.21, and 137 ms with the setting.

The first training of the process changes the setting, and says so in the log. KEEP_MEMORY=0 prevents it.
"""

import ctypes
import functools
import logging
import os

from bert4keras3.backend.accelerate import accelerates
from bert4keras3.backend.extensions import extends
from bert4keras3.backend.flavour import is_on

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of malloc.h
logger = logging.getLogger(__name__)


def keep_memory_in_training(model_class):
    """Extend the training methods of a class: their first call lets the process keep freed memory."""
    names = [name for name in ("fit", "fit_generator", "train_on_batch") if hasattr(model_class, name)]

    @extends(model_class, *names)
    def train(original, self, *args, **kwargs):
        keep_freed_memory()
        return original(self, *args, **kwargs)


@functools.lru_cache(maxsize=None)
def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees.

    Returns:
        Whether the setting was changed. KEEP_MEMORY=0, a user's own setting of malloc, or another C library
        prevents it.
    """
    is_set = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if is_set or not accelerates() or not is_on("KEEP_MEMORY", "1"):
        return False
    try:
        set_option = ctypes.CDLL("libc.so.6").mallopt
    except (AttributeError, OSError):
        return False
    largest = 2**31 - 1
    done = bool(set_option(TRIM_THRESHOLD, largest) and set_option(MMAP_MAX, 0))
    if done:
        logger.info(
            "Freed memory stays with this process from now on, for faster training. KEEP_MEMORY=0 prevents it."
        )
    return done
