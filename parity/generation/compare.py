"""Judge generated tokens: they equal those of the reference, unless rounding decides between two candidates."""

import functools

from parity.compare import Red
from parity.generation.cases import BEAMS, CASES, QUICK
from parity.store import GOLDENS, read_json

# Two ways to compute the same score in float32 differ by less.
ROUNDING = 1e-5


@functools.lru_cache(maxsize=None)
def read_golden():
    """{model: the generated sequences with their prompts, beams, end tokens and gaps}"""
    return read_json(GOLDENS / "generation.json")["texts"]


def expected_cases(kind, flavour, everything):
    """A case is a model with a number of beams: "gpt2-beams-3"."""
    names = [f"{case.name}-beams-{beams}" for case in CASES for beams in BEAMS]
    return names if everything else list(QUICK)


def sequences_of(name):
    model, beams = name.split("-beams-")
    return [one for one in read_golden()[model] if one["beams"] == int(beams)]


def compare(kind, name, generated):
    """Raises Red if tokens differ where the reference's candidates are farther apart than rounding explains."""
    expected = sequences_of(name)
    if not expected or len(generated) != len(expected):
        raise Red(f"{len(generated)} generated sequences, expected {len(expected)}")
    for tokens, golden in zip(generated, expected):
        right = golden["tokens"]
        if tokens == right:
            continue
        both = list(zip(tokens, right))
        step = next((i for i, pair in enumerate(both) if pair[0] != pair[1]), len(both))
        gap = min(golden["gaps"][: step + 1])
        if not gap < ROUNDING:
            raise Red(
                f"prompt {golden['prompt']}: tokens {tokens}, expected {right}; up to token {step} the candidates are "
                f"{gap:.1e} apart, rounding explains {ROUNDING:.0e}"
            )
    return None, None
