"""What is measured, as data: the weights, the shape, and the modes.

Weights are random numbers of real size, drawn by the name of the variable: every implementation has the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bench.weights import iterate_weights
from parity.models import releases
from parity.models.cases import CASES, CASES_BY_NAME, FIRST_OF_SYSTEM
from parity.models.releases import FULL_LM, SYSTEMS, T5, Release, sized
from parity.store import read_json, release_paths

CALL, PREDICT, COMPILED, GENERATE, TRAIN, LOAD = "call", "predict", "compiled", "generate", "train", "load"
FORWARD = (CALL, PREDICT, COMPILED)


class Scenario(NamedTuple):
    """One thing to measure, in each of its modes.

    Attributes:
        release: gives the sizes and the variables.
        arguments: of build_transformer_model.
        batch, length: of the inputs. With a batch the rows are padded, each to another length.
        modes: "call", the model called as a function, ours with `compile_calls`; "predict"; "compiled", a call that
            the framework has compiled; "generate", greedy; "train", one step of SGD; "load", checkpoint to model.
        inputs: names of the inputs.
        lengths: further lengths that run after the measurement, to count compilations.
        leak_check_calls: number of calls over which memory is watched.
        new_tokens: number of tokens that one call generates.
        quick: whether it belongs to a quick run.
        system: the system that it measures at the size of its release; empty for the usual scenarios.
        build: as of a case of the parity run, which an implementation gets as a scenario: "plain", or
            "sentence_embedding", the mean of the hidden states over the tokens.
    """

    name: str
    release: Release
    arguments: dict[str, Any]
    batch: int
    length: int
    modes: tuple[str, ...]
    inputs: tuple[str, ...] = ("Token", "Segment")
    lengths: tuple[int, ...] = ()
    leak_check_calls: int = 0
    new_tokens: int = 0
    quick: bool = False
    system: str = ""
    build: str = "plain"

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, as the file of the release has it."""
        return self.release.config or read_json(release_paths(self.release)[0])

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """{name: array} of all variables of the released checkpoint."""
        return dict(iterate_weights(self.release))

    @property
    def items(self) -> int:
        """Number of sequences that a call computes, or of tokens that it generates."""
        return self.batch * (self.new_tokens or 1)

    @property
    def computation(self) -> tuple[Any, ...]:
        """What decides the outputs: scenarios in which it is equal share their golden."""
        what = (self.variables, self.arguments, self.batch, self.length, self.inputs, self.new_tokens)
        return (*what, TRAIN in self.modes)

    @property
    def variables(self) -> tuple[Any, ...]:
        """What decides the weights: scenarios in which it is equal share their files."""
        return self.release.family, self.release.config, self.release.without


BERT_BASE = releases.BY_NAME["bert_base"]
NEZHA_BASE = releases.BY_NAME["nezha_base"]
ROFORMER_BASE = releases.BY_NAME["roformer_base"]
T5_BASE = releases.BY_NAME["t5_base"]
ALBERT_BASE = releases.BY_NAME["albert_base"]
GPT2_BASE = Release("gpt2_base", "cpm_lm", "cpm", sized(FULL_LM, 12, 768, 12, 3072, 50257))
T5_SMALL = Release("t5_small", "t5", "t5", sized(T5, 6, 512, 8, 2048, 32128, attention_head_size=64))

TOKENS, BOTH = ("Token",), ("Token", "Segment")
T5_ENCODER, GPT2 = dict(model="t5.1.0_encoder"), dict(model="gpt2")
NO_DROPOUT = dict(dropout_rate=0.0, attention_dropout_rate=0.0)
# As in the T5 of its authors: no relative positions between decoder and encoder.
T5_ARGUMENTS = dict(model="t5.1.0", cross_position_bias=False)

SCENARIOS = (
    Scenario("bert-base-1x128", BERT_BASE, {}, 1, 128, FORWARD, BOTH, (16, 32, 64, 96), 200, quick=True),
    Scenario("bert-base-8x128", BERT_BASE, {}, 8, 128, FORWARD),
    Scenario("bert-base-1x512", BERT_BASE, {}, 1, 512, FORWARD),
    Scenario("albert-base-1x128", ALBERT_BASE, dict(model="albert"), 1, 128, (PREDICT, COMPILED)),
    Scenario("nezha-base-1x128", NEZHA_BASE, dict(model="nezha"), 1, 128, (PREDICT, COMPILED)),
    Scenario("roformer-base-1x128", ROFORMER_BASE, dict(model="roformer"), 1, 128, (PREDICT, COMPILED)),
    Scenario("t5-base-encoder-1x128", T5_BASE, T5_ENCODER, 1, 128, (PREDICT, COMPILED), inputs=TOKENS),
    Scenario("gpt2-base-64-tokens", GPT2_BASE, GPT2, 1, 16, (GENERATE,), inputs=TOKENS, new_tokens=64),
    Scenario("t5-small-64-tokens", T5_SMALL, T5_ARGUMENTS, 1, 16, (GENERATE,), inputs=TOKENS, new_tokens=64),
    Scenario("unilm-base-64-tokens", BERT_BASE, dict(application="unilm"), 1, 16, (GENERATE,), new_tokens=64),
    Scenario("bert-base-train-8x128", BERT_BASE, dict(with_nsp=True, **NO_DROPOUT), 8, 128, (TRAIN,)),
    Scenario("bert-base-load", BERT_BASE, {}, 1, 128, (LOAD,)),
)

# Inputs of the families that do not read tokens and segments.
INPUTS = {"gpt2_ml": TOKENS, "cpm": TOKENS, **dict.fromkeys(("t5", "t5.1.1", "mt5"), 2 * TOKENS)}


def system_scenario(system: str) -> Scenario:
    """A system at the size of its release: one `predict` of 128 tokens, by the model without heads for a task.

    The decoder of a T5 reads 128 tokens too. A language model gives the probabilities of all tokens.
    """
    release = releases.BY_NAME[SYSTEMS[system].full_size]
    own = [case for case in CASES if (case.release, case.system) == (release.name, system)]
    case = own[0] if own else CASES_BY_NAME[FIRST_OF_SYSTEM[system]]
    arguments = {name: value for name, value in case.arguments.items() if not name.startswith("with_")}
    if arguments.get("model") == "roberta":  # another name of BERT
        del arguments["model"]
    inputs = TOKENS if arguments.get("segment_vocab_size") == 0 else INPUTS.get(release.family, BOTH)
    name = system.replace("_", "-") + "-1x128"
    return Scenario(name, release, arguments, 1, 128, (PREDICT,), inputs, system=system)


# Scenarios of equal weights stand together, so that their files are made once, whatever becomes of them.
SYSTEM_SCENARIOS = tuple(
    sorted(
        (system_scenario(name) for name, system in SYSTEMS.items() if system.full_size),
        key=lambda one: [other.full_size for other in SYSTEMS.values()].index(one.release.name),
    )
)
# The system whose matmuls are timed in each run: other times ÷ its roofline can be compared between machines.
YARDSTICK = "google_bert"

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS + SYSTEM_SCENARIOS}
LABELS = np.arange(8) % 2  # of the batch that is trained on
TRAIN_STEPS = 2  # before the accuracy gate
RATE = 2.0**-12


def make_inputs(scenario, length=None):
    """Inputs of a scenario as int32 arrays (batch, length). The last i/(2·batch) of row i is padding."""
    length = length or scenario.length
    random = np.random.RandomState(length)
    rows = np.arange(scenario.batch)[:, None]
    filled = np.arange(length) < length - length * rows // (2 * scenario.batch)
    tokens = random.randint(1000, scenario.release.config["vocab_size"], size=(scenario.batch, length))
    values = {"Token": tokens * filled, "Segment": (np.arange(length) >= length // 2) * filled}
    if scenario.new_tokens:  # a prompt has segment 0 alone
        values["Segment"] = 0 * tokens
    return [values[name].astype("int32") for name in scenario.inputs]
