"""Single layers and backend functions against what bert4keras 0.11.5 computed, with its weights."""

import pytest

from bert4keras3 import layers
from bert4keras3.backend import FLAVOUR
from parity.adapter import open_library
from parity.kinds import KINDS_BY_NAME, verdict
from parity.layers.cases import CASES
from parity.layers.compare import read_golden
from parity.layers.record import record
from parity.store import GOLDENS, sha256

pytestmark = pytest.mark.usefixtures("fresh_session")


@pytest.mark.parametrize("name", sorted(CASES))
def test_layer_computes_what_the_reference_does(name):
    outputs = record("layers", open_library("bert4keras3"), FLAVOUR, name)
    assert verdict(KINDS_BY_NAME["layers"], name, outputs).red is None


def test_golden_is_of_these_cases():
    metadata = read_golden()[0]
    assert metadata["cases"] == CASES
    assert metadata["sha256"] == sha256(GOLDENS / "layers.npz")


def test_every_layer_of_ours_has_a_case():
    """Those that bert4keras has too. Layer is their base, a Loss computes nothing, models cover the others.

    The padded layers are RoBERTa's, which folders of transformers judge. Those of texts are compared with one text at
    a time.
    """
    covered = {case["layer"] for case in CASES.values() if "layer" in case}
    classes = {
        name: item for name, item in vars(layers).items() if isinstance(item, type) and name in layers.__all__
    }
    ours = {name for name, item in classes.items() if item.__module__.startswith("bert4keras3")}
    assert ours - covered == {
        "Add",
        "AttentionBias",
        "CausalMask",
        "Dropout",
        "FirstToken",
        "LastToken",
        "Layer",
        "Loss",
        "PaddedEmbedding",
        "PaddedPositionEmbedding",
        "TextMask",
        "TextPooling",
        "TextStart",
        "TextTokens",
        "WithoutMask",
        "UniLMMask",
    }
