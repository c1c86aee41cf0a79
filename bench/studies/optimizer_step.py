"""Optimizer step: the time of a training step with our optimizers, beside Keras's own with the same slots.

    python -m bench.studies.optimizer_step [--rounds 40]        in an environment with Keras 3

Each candidate has its own BERT of 4 layers with hidden size 256, and 8 sequences of 128 tokens. The A/A control is
Keras's Adam beside itself: its distance from 1 is noise.
"""

from __future__ import annotations

import os
from typing import Any, Callable

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bench.studies import Study, interleave, read_rounds, timed  # noqa: E402
from bert4keras3 import optimizers  # noqa: E402
from bert4keras3.backend import keras  # noqa: E402
from bert4keras3.models import build_transformer_model  # noqa: E402

BATCH, LENGTH, LAYERS = 8, 128, 4
SIZES: dict[str, Any] = dict(vocab_size=8000, hidden_size=256, num_attention_heads=4, intermediate_size=1024)
SIZES.update(hidden_act="gelu", max_position_embeddings=128)


def extended(*names: str, base: Any = optimizers.Adam, **arguments: Any) -> Callable[[], Any]:
    made = base
    for name in names:
        made = getattr(optimizers, "extend_with_" + name)(made)
    return lambda: made(1e-4, **arguments)


DECAY = {"weight_decay_rate": 0.01, "exclude_from_weight_decay": ["Norm", "bias"]}
SCHEDULE = {"lr_schedule": {1000: 1, 2000: 0.1}}
KERAS: dict[str, Callable[[], Any]] = {
    "Adam": lambda: keras.optimizers.Adam(1e-4),
    "Adam, 3 slots": lambda: keras.optimizers.Adam(1e-4, use_ema=True),
    "Adam, accumulating": lambda: keras.optimizers.Adam(1e-4, gradient_accumulation_steps=2),
    "Lion": lambda: keras.optimizers.Lion(1e-4),
    "Adafactor": lambda: keras.optimizers.Adafactor(1e-4),
}
# An optimizer of ours, and the name of Keras's own with the same slots.
PAIRS = {
    "Keras's Adam, A/A control": (KERAS["Adam"], "Adam"),
    "Adam": (lambda: optimizers.Adam(1e-4), "Adam"),
    "Adam, decay and schedule": (
        extended("weight_decay", "piecewise_linear_lr", **DECAY, **SCHEDULE),
        "Adam",
    ),
    "LAMB": (extended("weight_decay", "layer_adaptation", **DECAY), "Adam"),
    "Adam, lazy": (extended("lazy_optimization", include_in_lazy_optimization=["Embedding"]), "Adam"),
    "Adam, rates by name": (extended("parameter_wise_lr", paramwise_lr_schedule={"Embedding": 0.5}), "Adam"),
    "Keras's Adam, decay": (extended("weight_decay", base=keras.optimizers.Adam, **DECAY), "Adam"),
    "Adam, EMA": (extended("exponential_moving_average"), "Adam, 3 slots"),
    "Adam, lookahead": (extended("lookahead"), "Adam, 3 slots"),
    "Adam, accumulating": (extended("gradient_accumulation"), "Adam, accumulating"),
    "Lion": (lambda: optimizers.Lion(1e-4), "Lion"),
    "AdaFactor": (lambda: optimizers.AdaFactor(1e-4), "Adafactor"),
}


def make_step(optimizer: Any) -> Callable[[], Any]:
    """A function that makes one training step."""
    model = build_transformer_model(num_hidden_layers=LAYERS, with_mlm="linear", **SIZES)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    tokens = np.random.RandomState(0).randint(1, SIZES["vocab_size"], (BATCH, LENGTH))
    return lambda: model.train_on_batch([tokens, 0 * tokens], tokens)


def main() -> None:
    rounds = read_rounds(__doc__, 40)
    study = Study("optimizer_step", rounds)
    steps = {"Keras's " + name: make_step(make()) for name, make in KERAS.items()}
    steps.update({name: make_step(make()) for name, (make, _) in PAIRS.items()})
    seconds = interleave({name: timed(step) for name, step in steps.items()}, rounds, warm_up=2)
    bases = {name: "Keras's " + base for name, (_, base) in PAIRS.items()}
    study.add_times(f"{BATCH} x {LENGTH} tokens", seconds, bases)
    study.write()


if __name__ == "__main__":
    main()
