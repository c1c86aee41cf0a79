"""Decoders that write with random weights: one released format each, what they are given, and how they are built."""

from __future__ import annotations

from typing import Any, NamedTuple

from parity.models.releases import BY_NAME


class GenerationCase(NamedTuple):
    """release: name of the checkpoint. arguments: of build_transformer_model. max_tokens: of a new text."""

    name: str
    release: str
    arguments: dict[str, Any]
    max_tokens: int = 7

    @property
    def checkpoint(self):
        return BY_NAME[self.release]


CASES = (
    GenerationCase("gpt", "cdial_gpt", dict(model="gpt")),
    GenerationCase("gpt2", "cpm_lm", dict(model="gpt2")),
    GenerationCase("gpt2-ml", "gpt2_ml", dict(model="gpt2_ml")),
    GenerationCase("bert-lm", "google_bert", dict(application="lm")),
    GenerationCase("bert-unilm", "google_bert", dict(application="unilm")),
    GenerationCase("albert-unilm", "google_albert", dict(model="albert", application="unilm")),
    GenerationCase("nezha-unilm", "nezha", dict(model="nezha", application="unilm"), 12),
    GenerationCase("roformer-lm", "zhuiyi_roformer", dict(model="roformer", application="lm"), 12),
    GenerationCase(
        "roformer-v2-unilm", "zhuiyi_roformer_v2", dict(model="roformer_v2", application="unilm"), 12
    ),
    GenerationCase("gau-alpha-unilm", "gau_alpha", dict(model="gau_alpha", application="unilm"), 12),
    GenerationCase("t5", "t5", dict(model="t5.1.0"), 12),
    GenerationCase("t5-1-1", "t5_1_1", dict(model="t5.1.1"), 12),
    GenerationCase("mt5", "mt5", dict(model="mt5.1.1"), 12),
)

PROMPTS: tuple[tuple[int, ...], ...] = ((7, 21, 35, 90, 14), (101, 8, 64))
BEAMS = (1, 3, 5)
NO_END = 10**6
# This one runs always, the other models and beams with --everything: each takes seconds to compile.
QUICK = ("gpt2-beams-3",)


def predict_function(case, transformer):
    """Function of (prompts, new tokens), (rows, length) each → the model's outputs at the last token."""
    import numpy as np

    def predict(prompts, new):
        if hasattr(transformer, "encoder"):
            return transformer.decoder.predict([transformer.encoder.predict(prompts), new])[:, -1]
        inputs = [np.concatenate([prompts, new], axis=1)]
        if len(transformer.model.inputs) > 1:
            written = np.full_like(new, case.arguments.get("application") == "unilm")
            inputs.append(np.concatenate([np.zeros_like(prompts), written], axis=1))
        return transformer.model.predict(inputs if len(inputs) > 1 else inputs[0])[:, -1]

    return predict
