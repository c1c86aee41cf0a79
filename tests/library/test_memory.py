"""Freed memory stays with the process on TensorFlow, unless the user says otherwise."""

import os
import subprocess
import sys

import pytest

from bert4keras3.backend.contract import framework

FREE_MUCH = """
import numpy as np
import bert4keras3.backend

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

before = resident()
much = [np.ones(2**17) for _ in range(400)]  # 400 MiB
del much
print("held", (resident() - before) // 2**20)
"""


def mib_held_after_free(**variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", FREE_MUCH],
        env={**kept, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout.split("held ")[1])


@pytest.mark.skipif(
    framework != "tensorflow" or not sys.platform.startswith("linux"), reason="for TensorFlow on Linux"
)
def test_freed_memory_is_kept():
    assert mib_held_after_free() > 300
    assert mib_held_after_free(KEEP_MEMORY="0") < 100
    assert mib_held_after_free(MALLOC_ARENA_MAX="4") < 100
