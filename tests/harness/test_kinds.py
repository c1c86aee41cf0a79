"""The comparer of layers, folders, LoRA, optimizers, generation and text refuses what is wrong: all red."""

import shutil

import numpy as np
import pytest

from pairings import BY_NAME, PAIRINGS
from parity.generation.compare import sequences_of
from parity.huggingface.compare import read
from parity.kinds import KINDS, KINDS_BY_NAME, compare_kind, golden_checksums
from parity.layers.compare import read_golden
from parity.lora.compare import read as read_adapter
from parity.models.cases import CASES_BY_NAME
from parity.models.compare import read_golden as read_case
from parity.optimizers.cases import SHAPES
from parity.optimizers.compare import golden_of
from parity.store import golden_folder, read_arrays, read_json, write_arrays, write_json
from parity.subsample import sample_output
from parity.text.cases import golden_cases
from parity.text.compare import correct
from reports.results import why_red


def right_outputs(name):
    """Outputs of a case whose numbers that count are the golden's."""
    golden, metadata = read_case(CASES_BY_NAME[name], golden_folder(CASES_BY_NAME[name]))
    arrays = {}
    for key, shape in metadata["shapes"].items():
        tokens = golden[f"{key.split('/')[0]}/input/{metadata['token_input']}"]
        arrays[key] = np.zeros(shape, "float64")
        arrays[key].flat[sample_output(np.arange(np.prod(shape)).reshape(shape), tokens)] = golden[key]
    return arrays


RIGHT = {
    "layers": lambda case: {
        str(i): np.nan_to_num(one, posinf=np.inf, neginf=-np.inf)
        for i, one in enumerate(read_golden()[3][case])
    },
    "packing": right_outputs,
    "hugging-face": lambda case: {
        f"{i}/{j}": one for i, answer in enumerate(read(case).answers) for j, one in enumerate(answer[1])
    },
    "hugging-face-gradients": lambda case: {
        name: one for name, one in read(case).gradients.items() if "@" not in name
    },
    "lora": lambda case: {
        ours: one
        for name, one in read_adapter(case)[1].items()
        if "@" not in name
        for ours in {name, name.replace("output/", "merged/")}
    },
    "optimizers": lambda case: {name: golden_of(case)[name] for name in SHAPES},
    "generation": lambda case: [one["tokens"] for one in sequences_of(case)],
    "tokenizers": lambda case: correct(*golden_cases("tokenizers")[case]),
    "snippets": lambda case: correct(*golden_cases("snippets")[case]),
}
WITH_RATIO = [kind.name for kind in KINDS if not kind.exact]
EXACT = [kind.name for kind in KINDS if kind.exact]


@pytest.fixture
def folder(tmp_path):
    """Records of a pairing that are the goldens themselves."""
    for kind in KINDS:
        cases = kind.module("compare").expected_cases(kind.name, "keras3", False)
        right = {case: RIGHT[kind.name](case) for case in cases}
        info = {"status": "recorded", "golden": golden_checksums(kind), "failed": {}, "everything": False}
        if kind.exact:
            info["results"] = right
        else:
            arrays = {f"{case}/{name}": one for case, values in right.items() for name, one in values.items()}
            write_arrays(tmp_path / f"{kind.name}.npz", arrays)
        write_json(tmp_path / f"{kind.name}.json", info)
    return tmp_path


def verdict(name, folder):
    cell = compare_kind(KINDS_BY_NAME[name], "jax", folder)
    assert bool(why_red(cell)) == bool(cell.red)
    return cell


def change_arrays(folder, name, change):
    """Change the first array of a record; returns its case."""
    path = folder / f"{name}.npz"
    arrays = read_arrays(path)
    first = next(iter(arrays))
    write_arrays(path, {**arrays, first: change(arrays[first])})
    return first.split("/")[0]


def change_info(folder, name, **changed):
    path = folder / f"{name}.json"
    write_json(path, {**read_json(path), **changed})


@pytest.mark.parametrize("name", KINDS_BY_NAME)
def test_the_golden_itself_is_green(folder, name):
    cell = verdict(name, folder)
    assert cell.red is None and cell.green == cell.judged > 0
    assert (cell.error_ratio is None) == KINDS_BY_NAME[name].exact


def shifted(array):
    return np.roll(array, 1) + 1e-3


def with_nan(array):
    return np.full_like(array, np.nan)


def longer(array):
    return np.concatenate([array, array[:1]])


@pytest.mark.parametrize("damage", [shifted, with_nan, longer, np.zeros_like])
@pytest.mark.parametrize("name", WITH_RATIO)
def test_a_damaged_array_is_red_and_its_case_is_named(folder, name, damage):
    case = change_arrays(folder, name, damage)
    cell = verdict(name, folder)
    assert cell.green == cell.judged - 1 and f"first wrong: {case}: " in cell.red


@pytest.mark.parametrize("name", WITH_RATIO)
def test_a_wrong_ratio_is_shown_with_its_bound(folder, name):
    change_arrays(folder, name, lambda array: array * (1 + 1e-4))
    cell = verdict(name, folder)
    bound = KINDS_BY_NAME[name].bound
    assert f"expected at most {bound:g}" in cell.red and cell.error_ratio > bound


@pytest.mark.parametrize("name", EXACT)
def test_a_wrong_result_is_red_with_what_was_expected(folder, name):
    results = read_json(folder / f"{name}.json")["results"]
    first = next(iter(results))
    results[first] = [[0]] * len(results[first]) if name == "generation" else dict.fromkeys(results[first], 0)
    change_info(folder, name, results=results)
    cell = verdict(name, folder)
    assert cell.green == cell.judged - 1 and first in cell.red and "expected" in cell.red


@pytest.mark.parametrize("name", KINDS_BY_NAME)
def test_a_missing_record_is_red(folder, name):
    shutil.rmtree(folder)
    assert verdict(name, folder).red == "no record"


@pytest.mark.parametrize("name", KINDS_BY_NAME)
def test_an_empty_record_is_red(folder, name):
    change_info(folder, name, results={})
    write_arrays(folder / f"{name}.npz", {})
    cell = verdict(name, folder)
    assert cell.green == 0 and "no record" in cell.red


@pytest.mark.parametrize("name", KINDS_BY_NAME)
def test_a_case_that_failed_is_red_with_its_reason(folder, name):
    kind = KINDS_BY_NAME[name]
    first = kind.module("compare").expected_cases(name, "keras3", False)[0]
    info = read_json(folder / f"{name}.json")
    change_info(
        folder,
        name,
        failed={first: "ValueError: out of memory"},
        results={case: one for case, one in info.get("results", {}).items() if case != first},
    )
    if not kind.exact:
        arrays = read_arrays(folder / f"{name}.npz")
        write_arrays(
            folder / f"{name}.npz", {key: one for key, one in arrays.items() if key.split("/")[0] != first}
        )
    assert f"first wrong: {first}: ValueError: out of memory" in verdict(name, folder).red


@pytest.mark.parametrize("name", KINDS_BY_NAME)
def test_a_record_for_another_golden_is_red(folder, name):
    change_info(folder, name, golden={})
    assert "another golden" in verdict(name, folder).red


@pytest.mark.parametrize("name", KINDS_BY_NAME)
def test_an_unexpected_case_is_red(folder, name):
    write_arrays(folder / f"{name}.npz", {"extra/0": np.zeros(3)})
    change_info(folder, name, results={"extra": {}})
    assert "unexpected cases ['extra']" in verdict(name, folder).red


@pytest.mark.parametrize("pairing", PAIRINGS, ids=lambda pairing: pairing.name)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_pairing_has_cases_and_more_of_them_with_everything(kind, pairing):
    expected = kind.module("compare").expected_cases
    quick, every = (set(expected(kind.name, BY_NAME[pairing.name].flavour, more)) for more in (False, True))
    assert quick and quick <= every
