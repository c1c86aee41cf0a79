"""The comparer is tested by feeding it what it has to refuse: each of these must be red."""

import shutil

import numpy as np
import pytest

from parity.compare import BOUND
from parity.models.cases import CASES_BY_NAME
from parity.models.compare import compare_case
from parity.store import GOLDENS, read_arrays, read_json, write_arrays, write_json

CASE = CASES_BY_NAME["bert"]
OUTPUT = "11/output/0"
LAYER = "11/layer/Transformer-0-FeedForward"


@pytest.fixture
def files(tmp_path):
    """Folders of goldens and records; the record is the golden's own float32 numbers."""
    goldens, records = tmp_path / "goldens", tmp_path / "records"
    goldens.mkdir()
    for suffix in (".npz", ".json"):
        shutil.copy(GOLDENS / (CASE.name + suffix), goldens)
    metadata = read_json(goldens / (CASE.name + ".json"))
    golden = read_arrays(goldens / (CASE.name + ".npz"))
    arrays = {name: value for name, value in golden.items() if "@" not in name}
    for name, shape in metadata["shapes"].items():
        arrays[name] = whole_output(golden, name, shape)
    info = {"status": "recorded", "trained": True, "golden": metadata["sha256"]}
    write_arrays(records / "jax" / (CASE.name + ".npz"), arrays)
    write_json(records / "jax" / (CASE.name + ".json"), info)
    return goldens, records


def whole_output(golden, name, shape):
    """The float32 golden with its padding, which it has not kept."""
    tokens = golden[name.split("/")[0] + "/input/0"]
    kept = tokens != 0
    kept[:, 0] = True
    array = np.zeros(shape, "float32")
    array[kept] = golden[name + "@float32"].reshape(-1, shape[-1])
    return array


def change(files, name, new):
    path = files[1] / "jax" / (CASE.name + ".npz")
    arrays = read_arrays(path)
    arrays[name] = new(arrays[name])
    write_arrays(path, arrays)


def verdict(files):
    return compare_case(CASE, "jax", files[0], files[1] / "jax")


def test_the_reference_itself_is_green_with_ratio_one(files):
    cell = verdict(files)
    assert cell.red is None and cell.error_ratio == pytest.approx(1, abs=0.2)


def shifted(value):
    return np.roll(value, 1, axis=0)


def slightly_off(value):
    return value * (1 + 1e-5 * np.sign(np.sin(np.arange(value.size))).reshape(value.shape))


def nan_in_padding(value):
    value = value.copy()
    value[-1, -1] = np.nan
    return value


def longer(value):
    return np.concatenate([value, value[:1]])


@pytest.mark.parametrize("damage", [shifted, slightly_off, nan_in_padding, longer, np.zeros_like])
def test_a_damaged_output_is_red(files, damage):
    change(files, OUTPUT, damage)
    assert verdict(files).red


def test_a_wrong_input_is_red(files):
    change(files, "11/input/0", lambda ids: ids + 1)
    assert "input" in verdict(files).red


def test_the_first_wrong_layer_is_named(files):
    change(files, LAYER, shifted)
    cell = verdict(files)
    assert cell.first_wrong_layer == "Transformer-0-FeedForward"
    assert cell.worst_layer_ratio > BOUND


@pytest.mark.parametrize("damage", [shifted, longer, np.zeros_like])
def test_a_wrong_gradient_is_red_and_named(files, damage):
    change(files, "training/gradient/Transformer-0-FeedForward/0", damage)
    assert "gradient of Transformer-0-FeedForward/0" in verdict(files).red


@pytest.mark.parametrize("damage", [slightly_off, longer])
def test_wrong_losses_are_red(files, damage):
    change(files, "training/losses", damage)
    assert "losses while training" in verdict(files).red


def run_isolated(files, **changed):
    """Write what the layers computed from the reference's input: the golden's numbers, but for the changed."""
    golden = read_arrays(files[0] / (CASE.name + ".npz"))
    isolated = {name: value for name, value in golden.items() if "/layer/" in name and "@" not in name}
    isolated.update((name, shifted(isolated[name])) for name in changed.values())
    write_arrays(files[1] / "jax" / (CASE.name + ".isolated.npz"), isolated)


def test_an_isolated_layer_that_is_wrong_is_the_root_cause(files):
    change(files, LAYER, shifted)
    change(files, OUTPUT, shifted)
    run_isolated(files, wrong=LAYER)
    assert "Transformer-0-FeedForward, which is wrong on the reference's input too" in verdict(files).red


def test_an_isolated_layer_that_is_right_only_amplifies(files):
    change(files, LAYER, shifted)
    change(files, OUTPUT, shifted)
    run_isolated(files)
    assert "Transformer-0-FeedForward, which only amplifies its input's error" in verdict(files).red


def test_a_red_case_has_the_explanation_that_its_replay_left_and_a_green_one_has_none(files):
    found = {"explanation": "consistent with tanh GELU", "replay": "one layer"}
    write_json(files[1] / "jax" / (CASE.name + ".replay.json"), found)
    assert verdict(files).explanation is None
    change(files, OUTPUT, shifted)
    cell = verdict(files)
    assert cell.red and cell.explanation == found["explanation"] and cell.replay == found["replay"]


@pytest.mark.parametrize("lost", [OUTPUT, LAYER, "5/input/0", "training/losses"])
def test_a_record_that_lacks_an_array_is_red(files, lost):
    path = files[1] / "jax" / (CASE.name + ".npz")
    write_arrays(path, {name: value for name, value in read_arrays(path).items() if name != lost})
    assert lost in verdict(files).red


def test_an_unexpected_layer_is_red(files):
    path = files[1] / "jax" / (CASE.name + ".npz")
    write_arrays(path, dict(read_arrays(path), **{"11/layer/Extra": np.zeros(3)}))
    assert "Extra" in verdict(files).red


def test_an_empty_record_is_red(files):
    write_arrays(files[1] / "jax" / (CASE.name + ".npz"), {})
    assert verdict(files).red


def test_a_missing_record_is_red(files):
    shutil.rmtree(files[1])
    assert verdict(files).red == "no record"


def test_a_missing_golden_is_red(files):
    shutil.rmtree(files[0])
    assert "no golden" in verdict(files).red


def test_a_damaged_golden_is_red(files):
    path = files[0] / (CASE.name + ".npz")
    path.write_bytes(path.read_bytes() + b" ")
    assert "checksum" in verdict(files).red


def test_a_record_for_another_golden_is_red(files):
    info = read_json(files[1] / "jax" / (CASE.name + ".json"))
    write_json(files[1] / "jax" / (CASE.name + ".json"), dict(info, golden="other"))
    assert "another golden" in verdict(files).red


def test_a_failed_record_is_red_with_its_reason(files):
    write_json(files[1] / "jax" / (CASE.name + ".json"), {"status": "failed", "reason": "out of memory"})
    assert verdict(files).red == "out of memory"


def test_a_truncated_record_is_red(files):
    path = files[1] / "jax" / (CASE.name + ".npz")
    path.write_bytes(path.read_bytes()[:100])
    assert "not compared" in verdict(files).red
