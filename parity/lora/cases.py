"""The cases: a folder of transformers in goldens/huggingface.zip, and an optimizer."""

from typing import Any, NamedTuple

import numpy as np

from parity.models.training import RATE, STEPS  # noqa: F401

# With a small epsilon, a gradient that is hardly more than its rounding moves a weight as far as any other gradient.
# All numbers are numbers of float32, because Keras rounds 1 - beta and beta apart.
ADAMW = dict(
    learning_rate=2.0**-6, beta_1=1 - 2.0**-3, beta_2=1 - 2.0**-10, epsilon=2.0**-12, weight_decay=2.0**-7
)


class Case(NamedTuple):
    """folder: in goldens/huggingface.zip. optimizer: "SGD" or "AdamW". lora: of PEFT's LoraConfig."""

    folder: str
    optimizer: str
    lora: Any


ALL = dict(r=3, lora_alpha=4, target_modules="all-linear")
CASES = {
    "bert-adamw": Case("bert-pretraining", "AdamW", ALL),
    "t5-sgd": Case("t5", "SGD", ALL),
    "gpt2-adamw": Case("gpt2", "AdamW", ALL),
    "bert-sgd": Case(
        "bert-pretraining", "SGD", dict(r=2, lora_alpha=8, use_rslora=True, target_modules=["query"])
    ),
    "t5-patterns": Case(
        "t5", "SGD", dict(r=2, lora_alpha=2, target_modules=["q", "v"], rank_pattern={"v": 5})
    ),
    "gpt2-sgd": Case("gpt2", "SGD", dict(r=4, lora_alpha=4, target_modules=["c_attn"])),
    "bert-embeddings": Case(
        "bert-model", "SGD", dict(r=2, lora_alpha=2, target_modules=["word_embeddings", "value"])
    ),
}


def random_factors(shapes):
    """{name: values of an adapter that has been trained} of {name: shape}."""
    values = {}
    for name in sorted(shapes):
        random = np.random.RandomState(len(name) + sum(shapes[name]))
        values[name] = random.normal(scale=0.2, size=shapes[name]).astype("float32")
    return values
