"""The roofline of a scenario: the least time that this machine needs for it.

The matmuls of the scenario are timed on their own shapes in every library here, and the best library counts. Generation
adds one read of the weights for each token. Softmax, norms and activations count as free, padding counts as work: 1 ×
roofline is out of reach, unless an implementation skips padding.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from typing import Any

from bench.process import QUIET
from bench.scenarios import GENERATE, LOAD, TRAIN, Scenario
from pairings.environments import python_path

Shape = tuple[int, int, int]  # (m, k) × (k, n)

TIMEOUT = 300
FLOAT = 4  # bytes
STREAM: Shape = (1, 4096, 16384)  # a matmul that reads 268 MB and computes next to nothing
# Library of gemm.py → its environment; None: the environment of the measuring process.
CPU_LIBRARIES = {"numpy": None, "jax": "jax", "torch": "torch", "onednn": "torch", "tensorflow": "tensorflow"}
GPU_LIBRARIES = {"jax": "jax-cuda", "torch": "torch-cuda"}
SLOW_CHOICES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # set for old programs; they slow a current NumPy


def sizes(scenario: Scenario) -> tuple[int, int, int, int, int]:
    """Layers, hidden size, size of all heads, of one head, inner size."""
    config = scenario.release.config
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    head = config.get("attention_head_size", hidden // heads)
    return config["num_hidden_layers"], hidden, heads * head, head, config["intermediate_size"]


def matmuls(scenario: Scenario, mode: str) -> Counter[Shape]:
    """{shape: how often} of one forward pass. A training step needs three times as many: backward has two for each."""
    layers, hidden, width, head, inner = sizes(scenario)
    length, tokens = scenario.length, scenario.batch * scenario.length
    count: Counter[Shape] = Counter()
    count[tokens, hidden, width] += 3 * layers
    count[tokens, width, hidden] += layers
    count[tokens, hidden, inner] += layers
    count[tokens, inner, hidden] += layers
    attentions = layers * scenario.batch * width // head
    count[length, head, length] += attentions
    count[length, length, head] += attentions
    return Counter({shape: (3 if mode == TRAIN else 1) * times for shape, times in count.items()})


def bytes_per_token(scenario: Scenario) -> int:
    """Bytes of the weights that every generated token has to read, if keys and values are cached."""
    layers, hidden, width, _, inner = sizes(scenario)
    attention = 4 * hidden * width
    if scenario.arguments.get("model") == "t5.1.0":
        attention += 2 * hidden * width  # of the attention to the encoder, without its keys and values
    vocabulary = hidden * scenario.release.config["vocab_size"]
    return FLOAT * (layers * (attention + 2 * hidden * inner) + vocabulary)


class Roofline:
    """Rooflines of scenarios on one device. Making one measures.

    Args:
        on_progress: is called with a few words.
    """

    def __init__(
        self, scenarios: list[Scenario], device: str = "cpu", on_progress: Any = lambda words: None
    ) -> None:
        shapes = {shape for one in scenarios for mode in one.modes for shape in matmuls(one, mode)}
        self.names = {one.name for one in scenarios}
        self.seconds_of: dict[Shape, float] = {}
        self.libraries: dict[Shape, str] = {}
        for library, environment in (CPU_LIBRARIES if device == "cpu" else GPU_LIBRARIES).items():
            on_progress(f"matmuls of {library}")
            self.measure(library, environment, sorted(shapes) + [STREAM], device)

    def measure(self, library: str, environment: str | None, shapes: list[Shape], device: str) -> None:
        """Keep the times of a library for the shapes that it is best at; a library that is missing keeps none."""
        python = python_path(environment) if environment else sys.executable
        variables = {**os.environ, **QUIET, **({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})}
        for name in () if environment else SLOW_CHOICES:
            variables.pop(name, None)
        options: Any = dict(capture_output=True, text=True, timeout=TIMEOUT, check=True, env=variables)
        command = [str(python), "-m", "bench.gemm", library]
        try:
            run = subprocess.run(command, input=json.dumps(shapes), **options)
        except (OSError, subprocess.SubprocessError):
            return
        for shape, seconds in zip(shapes, json.loads(run.stdout)):
            if seconds < self.seconds_of.get(shape, float("inf")):
                self.seconds_of[shape], self.libraries[shape] = seconds, library

    def seconds(self, scenario: Scenario, mode: str) -> float | None:
        """The least seconds of one call; None for loading, another scenario, and if no library could be measured."""
        if mode == LOAD or not self.seconds_of or scenario.name not in self.names:
            return None
        total = sum(times * self.seconds_of[shape] for shape, times in matmuls(scenario, mode).items())
        if mode == GENERATE:
            bandwidth = FLOAT * STREAM[1] * STREAM[2] / self.seconds_of[STREAM]  # bytes a second
            total += scenario.new_tokens * bytes_per_token(scenario) / bandwidth
        return total
