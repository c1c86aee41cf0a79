"""On TensorFlow freed memory stays with the process once a model was trained, unless the user says otherwise."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bert4keras3.backend import framework, keras
from bert4keras3.backend.accelerate import accelerates, allocator

FREE_MUCH = """
import os
import numpy as np
from bert4keras3.backend.accelerate import allocator

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if "TRAINS" in os.environ:
    allocator.keep_freed_memory()
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
    framework != "tensorflow" or not sys.platform.startswith("linux") or not accelerates(),
    reason="for accelerated TensorFlow on Linux",
)
def test_freed_memory_is_kept_if_asked_for():
    assert mib_held_after_free() < 100
    assert mib_held_after_free(TRAINS="1") > 300
    assert mib_held_after_free(TRAINS="1", KEEP_MEMORY="0") < 100
    assert mib_held_after_free(TRAINS="1", MALLOC_ARENA_MAX="4") < 100


@pytest.mark.skipif(framework != "tensorflow", reason="for TensorFlow")
@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_the_first_training_asks_for_it(method, monkeypatch):
    calls = []
    monkeypatch.setattr(allocator, "keep_freed_memory", lambda: calls.append(method))
    model = keras.models.Sequential([keras.layers.Dense(1, input_shape=(1,))])
    model.compile(loss="mse", optimizer="sgd")
    model.predict(np.zeros((1, 1)))
    assert not calls
    getattr(model, method)(np.zeros((1, 1)), np.zeros((1, 1)))
    assert calls
