"""Mutation tests of parity: each of these bugs turns the run red, and the first layer that is named has the bug."""

import pytest
from seeded_bugs import BUGS, BUGS_BY_NAME, GRADIENT_BUG, LOADING_BUG

from bert4keras3.checkpoints import CheckpointError
from parity.adapter import open_library
from parity.compare import BOUND, Cell
from parity.models import isolated_layers, record
from parity.models.build import case_weights
from parity.models.cases import CASES_BY_NAME
from parity.models.compare import judge
from parity.models.training import record_training
from parity.store import GOLDENS, read_arrays, read_json
from parity.subsample import sample_arrays

pytestmark = pytest.mark.usefixtures("fresh_session")


def recorded(name):
    return record.record_case(open_library("bert4keras3"), CASES_BY_NAME[name])[0]


def verdict(name, activations=None, trained=False):
    """activations: a record with the right layers, whose inputs the isolated layers get. trained: with gradients."""
    case, arrays = CASES_BY_NAME[name], recorded(name)
    golden = read_arrays(GOLDENS / (name + ".npz"))
    if trained:
        arrays.update(record_training(open_library("bert4keras3"), case, case_weights(case)))
    else:
        golden = {key: value for key, value in golden.items() if not key.startswith("training/")}
    metadata = read_json(GOLDENS / (name + ".json"))
    cell = Cell(name, case.system, "here")
    layers = (
        sample_arrays(isolated_layers.run_isolated_layers(open_library("bert4keras3"), case, activations))
        if activations
        else None
    )
    return judge(cell, golden, metadata, sample_arrays(arrays), layers)


def test_gradients_are_right_without_a_bug():
    assert verdict("bert", trained=True).red is None


def test_a_wrong_gradient_turns_the_run_red(monkeypatch):
    GRADIENT_BUG.seed(monkeypatch)
    cell = verdict("bert", trained=True)
    assert cell.error_ratio <= BOUND
    assert "gradient of Transformer-" in cell.red and "MultiHeadSelfAttention" in cell.red


@pytest.mark.parametrize("case", sorted({bug.case for bug in BUGS}))
def test_run_is_green_without_a_bug(case):
    assert verdict(case).red is None


FIRST_OF_LAYER = {(bug.case, bug.layer): bug.name for bug in reversed(BUGS)}


@pytest.mark.parametrize(
    "bug",
    [
        pytest.param(bug, id=bug.name, marks=[pytest.mark.slow] * (bug.name not in FIRST_OF_LAYER.values()))
        for bug in BUGS
    ],
)
def test_bug_turns_the_run_red_and_its_layer_is_named(monkeypatch, bug):
    bug.seed(monkeypatch)
    cell = verdict(bug.case)
    assert cell.red is not None, f"error ratio {cell.error_ratio:.3g} passes"
    assert (
        cell.first_wrong_layer.split("#")[0] == bug.layer
    )  # behind the #, which call of a shared layer it is


@pytest.mark.parametrize("name", ["mask-ignored", "cross-bias", "other-epsilon"])
def test_a_wrong_layer_is_wrong_on_the_right_input_and_the_others_are_not(monkeypatch, name):
    bug = BUGS_BY_NAME[name]
    activations = recorded(bug.case)
    bug.seed(monkeypatch)
    cell = verdict(bug.case, activations)
    assert cell.root_cause_layer.split("#")[0] == bug.layer
    assert "wrong on the reference's input too" in cell.red


def test_the_generator_does_not_pass_for_the_discriminator(monkeypatch):
    LOADING_BUG.seed(monkeypatch)
    with pytest.raises(CheckpointError, match="generator/encoder"):
        verdict("electra")
