"""Anybody's model is judged: the plugin of docs/judge.md as a package outside of the repository, and wrong ones."""

import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest

from bench import implementations, judge, scenarios, weights, worker
from bench.implementations import ADAPTERS, FOLDER, JUDGED, chosen_peers, implementation_named, resolved
from bench.implementations.adapter import adapter_class
from pairings import PAIRINGS
from parity.models.cases import CASES, CASES_BY_NAME
from parity.store import ROOT, read_json
from parity.subsample import sample_output
from reports.__main__ import main
from reports.history import merge
from reports.results import cells_folder, read_peers, read_results

PAGE = (ROOT / "docs" / "judge.md").read_text(encoding="utf-8")
PLUGIN = re.search(r"^```python\n(.*?)^```", PAGE, re.M | re.S)[1]
ENTRY_POINT = re.search(r"^```toml\n\[project\.entry-points\.\"(.*?)\"\]\n(.*?)^```", PAGE, re.M | re.S)
GELU, TANH = (
    "z * (1 + np.vectorize(erf)(z / 2**0.5)) / 2",
    "z * (1 + np.tanh(0.7978845608 * (z + 0.044715 * z**3))) / 2",
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The plugin as pip lays it into a folder of packages, which is on the path."""
    folder = tmp_path / "packages"
    metadata = folder / "judged_bert-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "judged_bert.py").write_text(PLUGIN, encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: judged-bert\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINT[1]}]\n" + ENTRY_POINT[2].replace('"', ""))
    monkeypatch.syspath_prepend(folder)
    return folder


def run_judge(package, results, *words):
    """(exit status, lines) of the command of the page."""
    path = os.pathsep.join([str(ROOT), str(package)])
    command = [sys.executable, "-m", "bench.judge", *words, "--results", str(results)]
    options = dict(cwd=results, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    done = subprocess.run(command, timeout=300, **options)
    return done.returncode, done.stdout.splitlines()


def test_the_plugin_of_the_page_has_at_most_30_lines():
    assert 0 < sum(bool(line.strip()) for line in PLUGIN.splitlines()) <= 30
    assert "bench" not in PLUGIN and "parity" not in PLUGIN


def test_the_plugin_is_judged_by_its_entry_point(package, tmp_path):
    code, lines = run_judge(
        package, tmp_path, "--implementation", "numpy-bert", "--case", "bert", "--case", "bert-mlm"
    )
    assert code == 0
    assert re.fullmatch(r"bert +[\d.]+  green", lines[-3])
    assert lines[-2:] == [
        "absent, 1 cases: it computes hidden states of BERT alone",
        "numpy-bert: 1 of 1 cases green, 1 absent",
    ]


def test_a_plugin_that_crashes_costs_its_own_case(package, tmp_path):
    text = PLUGIN.replace(
        "return list(", "import os; tokens = inputs[0]; len(tokens) == 4 and os.abort(); return list("
    )
    (package / "judged_bert.py").write_text(text)
    words = ("--case", "bert", "--case", "bert-prefix")
    code, lines = run_judge(package, tmp_path, "--implementation", "judged_bert:NumpyBert", *words)
    assert code == 1 and "the process ended with signal SIGABRT" in "\n".join(lines)
    assert lines[-1] == "judged_bert:NumpyBert: 0 of 1 cases green, 1 absent"


def verdict(monkeypatch, tmp_path, text, case="bert"):
    """(cell or None, {case: reason}) of a changed plugin, in this process."""
    module = types.ModuleType("changed_bert")
    exec(text, module.__dict__)
    monkeypatch.setitem(sys.modules, "changed_bert", module)
    cases = [CASES_BY_NAME[case]]
    judge.work(implementation_named("changed_bert:NumpyBert"), cases, tmp_path)
    cells, absent = judge.verdicts("changed_bert:NumpyBert", cases, tmp_path)
    return (cells[0] if cells else None), absent


FIRST = "Transformer-0-FeedForward-Norm"


@pytest.mark.parametrize(
    "right, wrong, reason",
    [
        (GELU, TANH, f"error ratio 645, first in layer {FIRST}"),
        ("+ 1e-12)", "+ 1e-5)", "first in layer Embedding-Norm"),
        ("(tokens != 0) | ", "(tokens >= 0) | ", f"first in layer {FIRST}"),
        ("kind[segments]", "kind[1 - segments]", "first in layer Embedding-Norm"),
        ('("query", "key", "value")', '("query", "value", "key")', f"first in layer {FIRST}"),
        ("return found", "return found.lost", "AttributeError: "),
        ("[-1:]", "[:1]", "in no single layer"),
        ("[-1:]", "[-2:]", "names differ: missing [], unexpected ['11/output/1', '5/output/1']"),
        ("[-1:]", "[-1:][0][:, :-1][None]", "11/output/0 has shape [4, 10, 32], expected [4, 11, 32]"),
        ("return list(", "x = inputs[0] / 0.0 * 1.0; return list(np.nan * one for one in ", "is not finite"),
        (
            '"Transformer-{i}-',
            '"Transformers-{i}-',
            "names differ: missing [], unexpected ['11/layer/Transformers-0",
        ),
        (
            "def outputs(",
            "def answers(",
            "ImportError: --implementation changed_bert:NumpyBert: NumpyBert has no outputs",
        ),
        ("class NumpyBert", "class Bert", "ImportError: --implementation changed_bert:NumpyBert: the module"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_wrong_plugin_is_red_and_says_why(monkeypatch, tmp_path, right, wrong, reason):
    assert PLUGIN.count(right) == 1
    cell, absent = verdict(monkeypatch, tmp_path, PLUGIN.replace(right, wrong))
    assert not absent and reason in cell.red


def test_a_wrong_plugin_without_layers_is_red(monkeypatch, tmp_path):
    text = (
        PLUGIN.replace(GELU, TANH)
        .replace("def layers(", "def hidden(")
        .replace("self.layers(", "self.hidden(")
    )
    cell, _ = verdict(monkeypatch, tmp_path, text)
    assert cell.red == "error ratio 645"


def test_what_a_library_lacks_is_absent_and_what_fails_later_is_red(monkeypatch, tmp_path):
    _, absent = verdict(monkeypatch, tmp_path, PLUGIN, "albert")
    assert absent == {"albert": "it computes hidden states of BERT alone"}
    later = PLUGIN.replace("return list(", "raise NotImplementedError('no'); return list(")
    cell, absent = verdict(monkeypatch, tmp_path, later)
    assert cell.red == "NotImplementedError: no" and not absent


def test_cases_that_no_other_library_can_have_are_absent_with_the_reason(tmp_path):
    cases = [case for case in CASES if judge.not_asked(case)]
    cells, absent = judge.verdicts("nobody", cases, tmp_path)
    assert not cells and set(absent) == {case.name for case in cases}
    assert {"bert-condition", "bert-large", "bert-gelu-tanh"} <= set(absent) and "bert" not in absent


def test_a_case_without_a_record_is_red(tmp_path):
    (cell,), absent = judge.verdicts("nobody", [CASES_BY_NAME["bert"]], tmp_path)
    assert cell.red == "no record" and not absent


# The registry


@pytest.mark.parametrize(
    "adapter", sorted({FOLDER + one for one in ADAPTERS.values()} | {one.adapter for one in JUDGED})
)
def test_every_class_is_in_its_file(adapter):
    module, name = adapter.split(":")
    assert f"\nclass {name}(" in (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")


def test_peers_are_those_of_the_registry_and_what_packages_offer(package):
    names = [one.name for one in chosen_peers([])[0]]
    expected = {
        "transformers",
        "sentence-transformers",
        "keras-hub-jax",
        "keras-hub-jax-as-released",
        "onnxruntime",
    }
    expected |= {"openvino-export", "abandoned-port", "reference-tf2.2", "embedding-server", "numpy-bert"}
    assert expected <= set(names) and not {"reference", "bert4keras3-jax"} & set(names)


def test_a_named_class_stands_for_all_and_other_arguments_stay(package):
    arguments = ["--implementation", "numpy-bert", "--case", "bert", "--python", "/opt/python"]
    (one,), others = chosen_peers(arguments)
    assert (one.name, one.adapter, one.python) == ("numpy-bert", "judged_bert:NumpyBert", "/opt/python")
    assert others == ["--case", "bert"]
    assert str(ROOT) in one.environment.variables["PYTHONPATH"]
    words = resolved(["--quick", *arguments])
    assert words == ["--implementation", one.word, "--python", "/opt/python", "--quick", "--case", "bert"]


def test_a_peer_in_a_variant_is_the_peer_with_other_versions(tmp_path, monkeypatch):
    one = implementation_named("keras-hub-jax+keras==3.12.0")
    assert one.adapter == implementation_named("keras-hub-jax").adapter
    assert one.environment.environment == "keras-hub+keras==3.12.0"
    assert implementation_named(one.word) == one
    monkeypatch.setattr(implementations, "python_path", lambda name: tmp_path / name)
    assert one.executable == tmp_path / "keras-hub+keras==3.12.0"
    for name in ("bert4keras3-keras-hub-jax+keras==3.12.0", "jax+keras==3.12.0", "nobody+keras==3.12.0"):
        with pytest.raises(SystemExit, match="no implementation is named"):
            implementation_named(name)


@pytest.mark.parametrize(
    "name, shown",
    [("a:B", "a:B"), ("x=a:B", "x"), ("a:B-control", "a:B-control"), ("x-before=a:B", "x-before")],
)
def test_a_class_of_another_package_means_the_same_in_every_process(name, shown):
    one = implementation_named(name)
    assert (one.name, one.adapter, one.python) == (shown, "a:B", sys.executable)
    assert implementation_named(one.word) == one


def test_a_class_with_files_of_its_own_names_their_format(monkeypatch):
    module = types.ModuleType("converts")
    text = "class A:\n    def convert(self, scenario, folder): ...\n    def outputs(self, inputs): ...\n"
    exec(text + "class B(A):\n    FORMAT = 'own'", module.__dict__)
    monkeypatch.setitem(sys.modules, "converts", module)
    assert adapter_class("converts:B").FORMAT == "own"
    with pytest.raises(ImportError, match="needs a FORMAT of its own"):
        adapter_class("converts:A")


# The bench takes the same class


def test_the_bench_measures_the_plugin(package, tmp_path, monkeypatch):
    case = CASES_BY_NAME["bert"]
    golden, _ = judge.read_golden(case, judge.golden_folder(case))
    scenario = judge.scenario_of(case, golden)
    tokens = [golden["11/input/0"], golden["11/input/1"]]
    monkeypatch.setattr(worker, "BY_NAME", {"bert": scenario})
    monkeypatch.setattr(worker, "make_inputs", lambda *_: tokens)
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    monkeypatch.setattr(worker, "reset_peak_memory", lambda: None)
    plugin = worker.Worker("judged_bert:NumpyBert")
    assert plugin.convert("bert") == {"made": True} and plugin.convert("bert") == {"made": False}
    outputs = tmp_path / "outputs.npz"
    assert plugin.prepare("bert", scenarios.CALL, "cpu", str(outputs))["load_seconds"] > 0
    assert len(plugin.run(3)["seconds"]) == 3
    hidden = np.load(outputs)["arr_0"]
    expected = golden["11/output/0"]
    assert sample_output(hidden, tokens[0]) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(implementations.Unsupported, match="it has no train"):
        plugin.prepare("bert", scenarios.TRAIN, "cpu", str(outputs))


# Reports


def test_peers_are_shown_apart_and_their_red_cells_fail_only_by_name(monkeypatch, tmp_path, capsys):
    verdict(monkeypatch, tmp_path, PLUGIN.replace(GELU, TANH))
    before = read_results(tmp_path)
    words = [
        "peers",
        "changed_bert:NumpyBert",
        "--case",
        "bert",
        "--case",
        "albert",
        "--results",
        str(tmp_path),
    ]
    judge.work(implementation_named("changed_bert:NumpyBert"), [CASES_BY_NAME["albert"]], tmp_path)
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "error ratio 645" in shown and "absent: albert: it computes hidden states of BERT alone" in shown
    assert main([*words, "--strict"]) == 1
    (peer,) = read_peers(tmp_path)
    assert [cell.case for cell in peer.cells] == ["bert"] and set(peer.absent) == {"albert"}
    assert read_results(tmp_path)[:2] == before[:2]
    assert main(["all", "--results", str(tmp_path)]) == 0
    for name in ("report.md", "report.html"):
        page = (tmp_path / "report" / name).read_text(encoding="utf-8")
        assert "changed_bert:NumpyBert" in page and "error ratio 645" in page
    merge([tmp_path], tmp_path / "merged")
    assert read_peers(tmp_path / "merged") == [peer]
    assert set(read_json(cells_folder(tmp_path) / "changed_bert:NumpyBert.json")["absent"]) == {"albert"}
    assert not any(
        cell.pairing not in {one.name for one in PAIRINGS} for cell in read_results(tmp_path).cells
    )


def test_an_implementation_without_its_environment_is_absent(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(implementations, "python_path", lambda name: tmp_path / name)
    assert main(["peers", "transformers", "--case", "bert", "--results", str(tmp_path)]) == 0
    assert "no environment transformers, which needs Python 3.11" in capsys.readouterr().out
