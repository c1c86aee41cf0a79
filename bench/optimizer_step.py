"""Time of a training step with our optimizers against Keras's own with the same slots, in one process.

    python -m bench.optimizer_step [ROUNDS] [LAYERS]        in an environment with Keras 3 and bert4keras3

Rounds are interleaved, each with a step of every subject in an order drawn anew; what counts is the median of the
ratios to Keras's step in the same round. The pair "same again" is Keras's own against itself: what it is off from 1
is noise. A BERT with hidden size 256 and 8 sequences of 128 tokens.
"""

import os
import platform
import sys
import time
from typing import Any, Callable, Dict, NamedTuple

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bert4keras3 import optimizers  # noqa: E402
from bert4keras3.backend import keras  # noqa: E402
from bert4keras3.models import build_transformer_model  # noqa: E402

BATCH, LENGTH = 8, 128
SIZES: Dict[str, Any] = dict(
    vocab_size=8000,
    hidden_size=256,
    num_attention_heads=4,
    intermediate_size=1024,
    hidden_act="gelu",
    max_position_embeddings=128,
)


class Pair(NamedTuple):
    """Makers of an optimizer of ours and of Keras's own with the same slots."""

    ours: Callable[[], Any]
    keras: str


def extended(*names: str, base: Any = optimizers.Adam, **arguments: Any) -> Callable[[], Any]:
    made = base
    for name in names:
        made = getattr(optimizers, "extend_with_" + name)(made)
    return lambda: made(1e-4, **arguments)


DECAY = {"weight_decay_rate": 0.01, "exclude_from_weight_decay": ["Norm", "bias"]}
SCHEDULE = {"lr_schedule": {1000: 1, 2000: 0.1}}
KERAS: Dict[str, Callable[[], Any]] = {
    "Adam": lambda: keras.optimizers.Adam(1e-4),
    "Adam, 3 slots": lambda: keras.optimizers.Adam(1e-4, use_ema=True),
    "Adam, accumulating": lambda: keras.optimizers.Adam(1e-4, gradient_accumulation_steps=2),
    "Lion": lambda: keras.optimizers.Lion(1e-4),
    "Adafactor": lambda: keras.optimizers.Adafactor(1e-4),
}
PAIRS = {
    "same again": Pair(KERAS["Adam"], "Adam"),
    "Adam": Pair(lambda: optimizers.Adam(1e-4), "Adam"),
    "Adam, decay and schedule": Pair(
        extended("weight_decay", "piecewise_linear_lr", **DECAY, **SCHEDULE), "Adam"
    ),
    "LAMB": Pair(extended("weight_decay", "layer_adaptation", **DECAY), "Adam"),
    "Adam, lazy": Pair(extended("lazy_optimization", include_in_lazy_optimization=["Embedding"]), "Adam"),
    "Adam, rates by name": Pair(
        extended("parameter_wise_lr", paramwise_lr_schedule={"Embedding": 0.5}), "Adam"
    ),
    "Keras's Adam, decay": Pair(extended("weight_decay", base=keras.optimizers.Adam, **DECAY), "Adam"),
    "Adam, EMA": Pair(extended("exponential_moving_average"), "Adam, 3 slots"),
    "Adam, lookahead": Pair(extended("lookahead"), "Adam, 3 slots"),
    "Adam, accumulating": Pair(extended("gradient_accumulation"), "Adam, accumulating"),
    "Lion": Pair(lambda: optimizers.Lion(1e-4), "Lion"),
    "AdaFactor": Pair(lambda: optimizers.AdaFactor(1e-4), "Adafactor"),
}


def make_step(optimizer: Any, layers: int) -> Callable[[], Any]:
    """Function that makes a step of training on one batch."""
    model = build_transformer_model(num_hidden_layers=layers, with_mlm="linear", **SIZES)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    tokens = np.random.RandomState(0).randint(1, SIZES["vocab_size"], (BATCH, LENGTH))
    return lambda: model.train_on_batch([tokens, 0 * tokens], tokens)


def seconds_of(step: Callable[[], Any]) -> float:
    start = time.perf_counter()
    step()  # returns the loss as a number, so it is done
    return time.perf_counter() - start


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    layers = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    steps = {("keras", name): make_step(make(), layers) for name, make in KERAS.items()}
    steps.update({("ours", name): make_step(pair.ours(), layers) for name, pair in PAIRS.items()})
    for step in list(steps.values()) * 2:
        step()
    seconds: Dict[Any, list] = {key: [] for key in steps}
    random = np.random.RandomState(0)
    for _ in range(rounds):
        for place in random.permutation(len(steps)):
            key = list(steps)[place]
            seconds[key].append(seconds_of(steps[key]))
    print(
        "Keras %s on %s, Python %s, %d cores, load %.1f; %d layers, %d interleaved rounds"
        % (
            keras.__version__,
            keras.config.backend(),
            platform.python_version(),
            os.cpu_count() or 0,
            os.getloadavg()[0],
            layers,
            rounds,
        )
    )
    for name, pair in PAIRS.items():
        ours, theirs = np.array(seconds["ours", name]), np.array(seconds["keras", pair.keras])
        low, ratio, high = np.percentile(ours / theirs, [25, 50, 75])
        print(
            "%-26s %.4f s   %.3f x Keras's %s (quartiles %.3f to %.3f)"
            % (name, np.median(ours), ratio, pair.keras, low, high)
        )


if __name__ == "__main__":
    main()
