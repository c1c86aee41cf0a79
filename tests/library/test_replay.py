"""Replays: each seeded bug leaves a small one, red with the bug and green without it, and is told by its name."""

import ast
import os
import subprocess
import sys

import numpy as np
import pytest
from seeded_bugs import BUGS, BUGS_BY_NAME, GRADIENT_BUG, LOADING_BUG

from bert4keras3.backend import framework
from parity.adapter import open_library
from parity.compare import BOUND, FLOOR, Cell
from parity.models import record
from parity.models.build import case_weights
from parity.models.cases import CASES, CASES_BY_NAME
from parity.models.compare import judge
from parity.models.training import record_training
from parity.replay.case import inputs_of, is_red, replay_case
from parity.replay.definitions import Call, compute
from parity.replay.diagnose import Evidence, diagnose
from parity.replay.folder import MOST_BYTES, SCRIPT
from parity.replay.reduce import output_number
from parity.replay.trace import trace
from parity.store import GOLDENS, ROOT, read_arrays, read_json
from parity.subsample import LAYER_SAMPLE, rms, sample, sample_arrays

pytestmark = pytest.mark.usefixtures("fresh_session")
SLOW_ON_JAX = [
    pytest.mark.slow,
    pytest.mark.skipif(framework != "jax", reason="on JAX alone: all of them take an hour on Keras 2"),
]
QUICK = ("key-and-value", "causal-mask")


def red_cell(case, trained=False):
    """The cell of a case, as `compare_case` judges its record."""
    library, cell = open_library("bert4keras3"), Cell(case.name, case.system, "jax")
    golden, metadata = read_arrays(GOLDENS / (case.name + ".npz")), read_json(GOLDENS / (case.name + ".json"))
    try:
        arrays = record.record_case(library, case)[0]
        if trained:
            arrays.update(record_training(library, case, case_weights(case)))
        else:
            golden = {name: value for name, value in golden.items() if not name.startswith("training/")}
        return judge(cell, golden, metadata, sample_arrays(arrays))
    except Exception as error:  # noqa: BLE001 as parity.record
        return cell._replace(red=f"{type(error).__name__}: {error}")


def replayed(monkeypatch, bug, folder, trained=False):
    """(what the replay says, whether it is red with the bug, and without it)"""
    with monkeypatch.context() as patch:
        bug.seed(patch)
        case = CASES_BY_NAME[bug.case]
        replay = replay_case(open_library("bert4keras3"), case, red_cell(case, trained), folder)
        seeded = is_red(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MOST_BYTES
    return replay, seeded, is_red(folder)


@pytest.mark.parametrize(
    "name", [pytest.param(bug.name, marks=[] if bug.name in QUICK else SLOW_ON_JAX) for bug in BUGS]
)
def test_a_bug_leaves_a_small_replay_and_is_told_by_its_name(monkeypatch, tmp_path, name):
    bug = BUGS_BY_NAME[name]
    replay, red_with_bug, red_without = replayed(monkeypatch, bug, tmp_path / "replay")
    assert red_with_bug and not red_without
    tokens = np.load(tmp_path / "replay" / "inputs.npz")["0"]
    assert read_json(tmp_path / "replay" / "case.json")["layer"].split("#")[0] == bug.layer
    assert tokens.size <= 4, replay
    assert replay.explanation.startswith(f"consistent with {bug.fingerprint}: explains "), replay


def test_a_layer_of_a_case_with_more_inputs_needs_none_of_them(monkeypatch, tmp_path):
    bug = BUGS_BY_NAME["tanh-gelu"]._replace(case="bert-condition")
    replay, red_with_bug, red_without = replayed(monkeypatch, bug, tmp_path / "replay")
    assert red_with_bug and not red_without and bug.fingerprint in replay.explanation


@pytest.mark.slow
def test_a_wrong_gradient_leaves_a_replay_of_the_gradients_of_one_layer(monkeypatch, tmp_path):
    replay, red_with_bug, red_without = replayed(monkeypatch, GRADIENT_BUG, tmp_path / "replay", trained=True)
    assert red_with_bug and not red_without
    assert "gradients of layer Transformer-0-MultiHeadSelfAttention on 4 tokens" in replay.replay


def test_a_case_that_raises_leaves_a_replay_that_raises(monkeypatch, tmp_path):
    folder = tmp_path / "replay"
    with monkeypatch.context() as patch:
        LOADING_BUG.seed(patch)
        case = CASES_BY_NAME[LOADING_BUG.case]
        replay_case(open_library("bert4keras3"), case, red_cell(case), folder)
        with pytest.raises(ValueError, match="generator/encoder"):
            is_red(folder)
    assert not is_red(folder)


def test_the_script_is_short_and_needs_numpy_the_framework_and_the_wheel():
    text = SCRIPT.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    modules = set()
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules.update([node.module] if isinstance(node, ast.ImportFrom) else names)
    others = {name.split(".")[0] for name in modules} - {"json", "sys", "collections", "pathlib"}
    assert others == {"numpy", "bert4keras3"}


@pytest.mark.slow
def test_a_replay_runs_in_a_process_of_its_own(monkeypatch, tmp_path):
    """Without the harness on the path: what it needs of this checkout is the package."""
    bug = BUGS_BY_NAME["segments"]
    replayed(monkeypatch, bug, tmp_path / "replay")
    path = tmp_path / "path"
    path.mkdir()
    (path / "bert4keras3").symlink_to(ROOT / "bert4keras3")
    (path / "seeded_bugs.py").symlink_to(ROOT / "tests" / "library" / "seeded_bugs.py")
    seeded = "import runpy, seeded_bugs\nclass Patch: setattr = staticmethod(setattr)\n"
    seeded += f"seeded_bugs.BUGS_BY_NAME[{bug.name!r}].seed(Patch)\nrunpy.run_path('replay.py', run_name='__main__')"
    for words, code in ((["replay.py"], 0), (["-c", seeded], 1)):
        ended = subprocess.run(
            [sys.executable, *words],
            cwd=str(tmp_path / "replay"),
            env=dict(os.environ, PYTHONPATH=str(path)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert ended.returncode == code, ended.stdout.decode()
        assert b"error ratio" in ended.stdout


def feed_forward_evidence(computed):
    """Of a FeedForward whose output is `computed(call, right)`."""
    random = np.random.RandomState(0)
    weights = tuple(random.normal(size=shape) for shape in ((8, 16), (16,), (16, 8), (8,)))
    call = Call(
        "FeedForward",
        "FeedForward",
        {"activation": ["gelu_erf"]},
        {},
        weights,
        (random.normal(size=(2, 3, 8)),),
        ("x",),
        (None,),
    )
    right = compute(call)
    return [Evidence(call, 0, computed(call, right), sample(right, LAYER_SAMPLE), 1e-7 * rms([right]), {})]


def test_a_fault_that_is_known_has_its_name():
    found = diagnose(feed_forward_evidence(lambda call, right: compute(call.changed(activation=["relu"]))))
    assert found.explanation == "consistent with ReLU: explains 99.99 % of the difference"


@pytest.mark.parametrize(
    "computed",
    [
        lambda call, right: right * 1.01,
        lambda call, right: right + np.random.RandomState(1).normal(scale=0.1, size=right.shape),
        lambda call, right: compute(call.changed(activation=["relu"])) * 1.5,
        lambda call, right: right * np.nan,
    ],
    ids=["scaled", "random", "two faults", "nan"],
)
def test_a_fault_that_nobody_knows_has_no_name(computed):
    assert diagnose(feed_forward_evidence(computed)).explanation is None


SMALL = [case for case in CASES if not case.slow and case.oracle == "reference" and case.release != "minilm"]
FAMILIES = ("bert-condition-hidden", "gau-alpha", "t5", "nezha-unilm")


@pytest.mark.parametrize(
    "name",
    [pytest.param(case.name, marks=[pytest.mark.slow] * (case.name not in FAMILIES)) for case in SMALL],
)
def test_each_definition_agrees_with_the_golden(name):
    case = CASES_BY_NAME[name]
    golden, metadata = read_arrays(GOLDENS / (name + ".npz")), read_json(GOLDENS / (name + ".json"))
    length = case.lengths[-1]
    calls = trace(open_library("bert4keras3"), case, case_weights(case), inputs_of(golden, length))
    assert list(calls) == metadata["layers"]
    for layer, (call, computed) in calls.items():
        found = np.broadcast_to(compute(call, output_number(layer)), computed.shape)
        expected = golden[f"{length}/layer/{layer}"].astype("float64")
        noise = max(float(np.max(golden[f"{length}/layer/{layer}@noise"])), FLOOR * rms([expected]))
        error = rms([sample(found, LAYER_SAMPLE) - expected])
        assert error <= BOUND * noise, f"{layer}: {error / noise:.3g}"
