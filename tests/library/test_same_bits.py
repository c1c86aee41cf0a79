"""Two processes on one machine compute equal bits: no kernel is chosen by a stopwatch."""

import subprocess
import sys

import pytest

COMPUTE = """
import hashlib, sys
import numpy as np
from bert4keras3.models import build_transformer_model

sizes = {
    "tiny": dict(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32),
    "base": dict(
        vocab_size=21128, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072
    ),
}[sys.argv[1]]
model = build_transformer_model(model="bert", hidden_act="gelu", max_position=512, with_mlm=True, **sizes)
random = np.random.RandomState(0)
model.set_weights([random.normal(0, 0.05, weight.shape).astype("float32") for weight in model.get_weights()])
for rows, length in ((1, 1), (1, 24), (3, 24)):
    ids = random.randint(1, 50, (rows, length))
    outputs = np.asarray(model.predict([ids, np.zeros_like(ids)], verbose=0))
    assert np.isfinite(outputs).all()
    print("bits", hashlib.sha256(outputs.tobytes()).hexdigest())
"""


def bits(size):
    done = subprocess.run(
        [sys.executable, "-c", COMPUTE, size], stdout=subprocess.PIPE, text=True, check=True
    )
    return [line for line in done.stdout.splitlines() if line.startswith("bits")]


@pytest.mark.parametrize("size", ["tiny", pytest.param("base", marks=pytest.mark.slow)])
def test_two_processes_give_equal_bits(size):
    first = bits(size)
    assert len(first) == 3
    assert bits(size) == first
