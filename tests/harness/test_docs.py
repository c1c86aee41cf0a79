"""What the pages say can be done: commands run, links lead somewhere, both languages say the same."""

import argparse
import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from markdown_it import MarkdownIt
from report_samples import sample_rows, sample_system_rows

from bench.implementations import split_arguments
from bench.rows import StudyRow, read_study
from pairings import BY_NAME, NIGHTLY, PAIRINGS, PUBLISHED, variant
from parity.models.cases import CASES_BY_NAME, add_case_arguments
from parity.models.releases import SYSTEMS
from parity.store import ROOT, write_json
from reports import documentation
from reports.__main__ import main, parse

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = [ENGLISH, CHINESE, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
# Neither on a push nor in the night, with the reason.
NOT_RUN = {
    "golden": "it writes over the goldens that are committed",
    "bisect": "it needs a question: tests/harness/test_bisect_seeded.py asks twelve",
    "compare": "it needs two results: the workflows have them, and test_compare_sides.py",
}


def tokens(path):
    return MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))


def blocks(path, language):
    return [one.content for one in tokens(path) if one.type == "fence" and one.info.strip() == language]


def commands(path):
    """Command lines of the blocks without a language, and the code in a text that begins like one."""
    lines = [line for block in blocks(path, "") for line in block.splitlines()]
    inline = [
        part.content for one in tokens(path) for part in one.children or () if part.type == "code_inline"
    ]
    lines += [code for code in inline if re.match(r"(nox|tox|python|pip) -?\w", code)]
    return [one.strip() for line in lines for one in line.split("&&")]


def headings(path):
    found = tokens(path)
    return [(one.tag, found[i + 1].content) for i, one in enumerate(found) if one.type == "heading_open"]


def anchors(path):
    """As GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for _, text in headings(path)}


def links(path):
    for one in tokens(path):
        for part in one.children or ():
            if part.type == "link_open":
                yield part.attrs["href"]


def tables(path):
    """Rows of all tables, each a tuple of cells."""
    rows, found = [], tokens(path)
    for i, one in enumerate(found):
        if one.type == "tr_open":
            rows.append(())
        elif one.type in ("td_open", "th_open"):
            rows[-1] += (found[i + 1].content,)
    return rows


def sessions():
    """All sessions, from the functions and the calls of the noxfile."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    plain = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any("nox" in ast.dump(one) for one in node.decorator_list)
    ]
    kinds = ("parity", "tests", "bench")
    made = {f"{kind}-{pairing.name}" for kind in kinds for pairing in PAIRINGS}
    made |= {f"parity-{pairing.name}" for pairing in NIGHTLY}
    return set(plain) | made | {f"published-{name}" for name in PUBLISHED} | {"bench-peers", "parity-peers"}


def run_regularly():
    """Sessions of .ci/run and of the nightly one, with those that it stands for."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace("\\\n", " ")
    runs = {"nightly"}
    for words in re.findall(r"nox -s ((?:\w[\w.-]* *)+)", script):
        runs |= set(words.split())
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    nightly = next(one for one in tree.body if getattr(one, "name", "") == "nightly")
    for call in ast.walk(nightly):
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "notify":
            text = ast.unparse(call.args[0])
            if "pairing.name" in text:
                rows = PAIRINGS + NIGHTLY if "parity" in text else PAIRINGS
                names = PUBLISHED if "published" in text else [one.name for one in rows]
                runs |= {text.strip("f'\"").replace("{pairing.name}", name) for name in names}
            else:
                runs.add(ast.literal_eval(text))
    return runs


COMMANDS = sorted({command for path in PAGES for command in commands(path)})


def test_commands_are_found():
    """The parser of this test finds what a reader sees first."""
    assert "nox -s parity-jax" in COMMANDS and "nox -s tests" in COMMANDS
    assert {"lint", "tests", "parity-jax"} <= run_regularly() <= sessions()


@pytest.mark.parametrize("command", COMMANDS)
def test_command_can_be_run(command, tmp_path):
    words = shlex.split(command, comments=True)
    if words[0] == "tox":
        command, words = command.replace("tox -e", "nox -s"), ["nox", "-s", *words[2:]]
    if words[:2] == ["nox", "-s"]:
        check_session(words[2:])
    elif words == ["nox", "-l"]:
        assert "test_nox_lists_every_session" in (ROOT / "tests/harness/test_registry.py").read_text()
    elif words[-1] == "nox":
        script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
        assert re.search(r"python3? -m pip install (--quiet )?nox", script), f".ci/run does not: {command}"
    elif words[:2] == ["pip", "install"]:
        check_requirement(words[2])
    elif words[0] == "pyenv":
        assert words[-1] in {pairing.python for pairing in PAIRINGS}
    elif words[:3] == ["python", "-m", "bench.judge"]:
        (plugin,) = blocks(ROOT / "docs" / "judge.md", "python")
        (tmp_path / "judged_bert.py").write_text(plugin, encoding="utf-8")
        path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
        command = [sys.executable, *words[1:], "--results", str(tmp_path)]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60, env={**os.environ, **path})
    else:
        assert words[:2] == ["python", "-m"], f"no test knows how to run: {command}"
        (tmp_path / "train.py").write_text("from bert4keras.models import build_transformer_model\n")
        words = [str(tmp_path / word) if word == "train.py" else word for word in words]
        subprocess.run([sys.executable, *words[1:]], cwd=ROOT, check=True, capture_output=True, timeout=60)


def check_session(words):
    place = words.index("--") if "--" in words else len(words)
    regular = run_regularly()
    for name in words[:place]:
        name = name.replace("<pairing>", "jax")
        assert name in sessions(), f"noxfile.py has no session {name}"
        assert name in regular or name in NOT_RUN, f"neither .ci/run nor nightly runs {name}"
        if name.startswith(("parity", "golden")):
            arguments = [word.replace("<case>", "bert") for word in words[place + 1 :]]
            while "--with" in arguments:
                place = arguments.index("--with")
                variant(BY_NAME["jax"], [arguments[place + 1]])
                del arguments[place : place + 2]
            *_, cases = split_arguments(arguments)
            options = case_options(cases)
            assert set(options.case or ()) <= set(CASES_BY_NAME)
        if name == "bisect" and "--" in words:
            parse(["bisect", *words[place + 1 :]])


def case_options(words):
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_case_arguments(parser)
    return parser.parse_args(words)


def check_requirement(requirement):
    """Its extras are ours; nox itself installs the wheel in every environment."""
    extras = re.match(r"bert4keras3(?:\[([\w,]+)\])?(?: @ file:///\S+)?$", requirement)
    assert extras, f"not a requirement of this project: {requirement}"
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set((extras[1] or "").split(",")) - {""} <= set(known)


def test_sessions_left_out_are_left_out():
    assert not set(NOT_RUN) & run_regularly()


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_links_inside_the_repository_lead_somewhere(path):
    for link in links(path):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{path}: {link}: there is no such file"
        assert not anchor or anchor in anchors(target), f"{path}: {link}: there is no such heading"


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_files_that_are_named_exist(path):
    """Code in a text that looks like a path inside the repository."""
    folders = "|".join(("bench", "docs", "examples", "pairings", "parity", "reports", "tests", "bert4keras3"))
    for one in tokens(path):
        for part in one.children or ():
            if part.type == "code_inline" and re.fullmatch(rf"({folders})/[\w./-]*", part.content):
                assert (ROOT / part.content).exists(), f"{path}: {part.content} does not exist"


# Figures


def test_figures_of_the_pages_are_those_of_the_rows():
    assert main(["docs"]) == 0
    marked = "".join(path.read_text(encoding="utf-8") for path in documentation.PAGES)
    tables = [*documentation.TABLES, *documentation.REGISTRIES]
    for kind, names in (("table", tables), ("value", documentation.VALUES)):
        assert all(f"<!-- {kind}: {name} -->" in marked for name in names)


@pytest.fixture
def page(tmp_path, monkeypatch):
    path = tmp_path / "page.md"
    text = (
        "<!-- table: recompute --><!-- end -->\nIt takes <!-- value: predict-of-call --><!-- end --> of it."
    )
    path.write_text(documentation.rendered(text), encoding="utf-8")
    monkeypatch.setattr(documentation, "PAGES", [path])
    monkeypatch.setattr(documentation, "ROOT", tmp_path)
    monkeypatch.setattr(documentation, "MATRIX", tmp_path / "parity.svg")
    documentation.MATRIX.write_text(documentation.matrix_picture(), encoding="utf-8")
    return path


@pytest.mark.parametrize("right, wrong", [("| 0.43 |", "| 0.41 |"), ("0.98 to 1.04", "0.98 to 1.03")])
def test_a_figure_that_is_not_that_of_its_row_is_found_and_rewritten(page, capsys, right, wrong):
    text = page.read_text(encoding="utf-8")
    assert text.count(right) == 1
    page.write_text(text.replace(right, wrong), encoding="utf-8")
    assert main(["docs"]) == 1
    assert wrong in capsys.readouterr().out
    assert main(["docs", "--write"]) == main(["docs"]) == 0
    assert page.read_text(encoding="utf-8") == text


def test_a_picture_of_other_verdicts_is_found(page, monkeypatch, tmp_path):
    cells = {"jax": {"bert": {"error_ratio": 0.5, "gradient_ratio": None, "losses_ratio": None, "red": None}}}
    monkeypatch.setattr(documentation, "BASELINE", tmp_path / "baseline.json")
    write_json(documentation.BASELINE, {"cells": cells})
    assert main(["docs"]) == 1
    assert main(["docs", "--write"]) == main(["docs"]) == 0
    assert "0.50" in documentation.MATRIX.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text, reason",
    [
        ("<!-- table: recompute -->", "has no <!-- end -->"),
        ("<!-- table: no-such-table --><!-- end -->", "no table is named no-such-table"),
    ],
)
def test_a_marker_that_means_nothing_is_an_error(text, reason):
    with pytest.raises(ValueError, match=reason):
        documentation.rendered(text)


def test_rows_of_several_runs_do_not_share_a_cell():
    rows = [StudyRow("peers", "case", "ours", "time", 1.0, run=run) for run in ("first", "second")]
    with pytest.raises(ValueError, match="rows of several runs"):
        documentation.figure(documentation.Column("", ()), rows)


def test_a_run_of_the_bench_is_kept_as_rows(tmp_path, monkeypatch):
    """Times with their units; a row that was not measured keeps its reason and has no time."""
    monkeypatch.setattr(documentation, "RESULTS", tmp_path)
    settings = {"cores": 2, "processor": "a processor", "versions": {"keras": "3"}}
    rows = [row._replace(settings=settings) for row in sample_rows()]
    documentation.keep_run(rows)
    kept = {(row.case, row.candidate, row.metric): row for row in read_study(tmp_path / "peers.jsonl")}
    ours = kept["bert-base-1x128 predict", "bert4keras3-jax", "time"]
    assert (ours.unit, ours.machine, ours.versions) == ("ms", "2 cores of a processor", {"keras": "3"})
    assert ours.value == pytest.approx(1e3 * np.median(find(rows, ours).latency_seconds))
    wrong = kept["bert-base-1x128 predict", "keras-hub-tensorflow", "time"]
    assert (wrong.value, wrong.status, wrong.note) == (None, "wrong", "error ratio 231")


def test_figures_of_systems_are_kept_beside_it(tmp_path, monkeypatch):
    """The newer of two runs on one machine stays."""
    monkeypatch.setattr(documentation, "RESULTS", tmp_path)
    settings = {"cores": 2, "processor": "a processor", "versions": {"keras": "3"}}
    for scale in (3.0, 1.0):
        rows = [row._replace(settings=settings) for row in sample_system_rows(scale, f"run-{scale}")]
        documentation.keep_run(rows)
    kept = {(row.case, row.candidate, row.metric): row for row in read_study(tmp_path / "systems.jsonl")}
    assert not (tmp_path / "peers.jsonl").exists()
    latency, memory = (kept["google_bert", "jax", metric] for metric in ("latency", "peak memory"))
    assert (latency.value, latency.unit, memory.value, memory.unit) == (100, "ms", 500, "MB")
    assert {row.status for row in kept.values()} == {"measured", "wrong", "absent"}


def find(rows, kept):
    scenario, mode = kept.case.split()
    return next(
        row
        for row in rows
        if (row.scenario, row.mode, row.implementation) == (scenario, mode, kept.candidate)
    )


# Both languages


def test_both_languages_have_the_same_sections():
    assert [tag for tag, _ in headings(ENGLISH)] == [tag for tag, _ in headings(CHINESE)]


@pytest.mark.parametrize("language", ["", "python", "diff"])
def test_both_languages_have_the_same_commands_and_code(language):
    assert blocks(ENGLISH, language) == blocks(CHINESE, language)


def test_both_languages_have_the_same_models():
    models = [[row[0].replace("、", ", ") for row in tables(path)] for path in (ENGLISH, CHINESE)]
    stated = set(re.findall(r"`([\w.]+)`", " ".join(models[0][1:])))
    cases = {case.arguments.get("model", "bert") for case in CASES_BY_NAME.values()}
    assert models[0] == models[1]
    assert "bert" in stated and stated <= cases


def test_both_languages_have_the_same_links():
    found = [[link for link in links(path) if "README" not in link] for path in (ENGLISH, CHINESE)]
    assert found[0] == found[1]


def test_readme_has_at_most_900_words():
    assert len(ENGLISH.read_text(encoding="utf-8").split()) <= 900


@pytest.mark.parametrize("path", [ENGLISH, CHINESE], ids=["README.md", "README.zh-CN.md"])
def test_readme_shows_the_two_commands_first_and_as_proof(path):
    text = path.read_text(encoding="utf-8")
    first_screen, proof = text[:1000], re.split("^## (?:Proof|验证)$", text, flags=re.MULTILINE)[1]
    for part in (first_screen, proof):
        assert re.match(
            r"(?s)[^`]*```\npython -m pip install nox && nox -s parity-jax\nnox -s tests\n```", part
        )


# Names of other packages that a star import of bert4keras's modules gives to scripts.
LEAKED = {
    "defaultdict",
    "json",
    "logging",
    "np",
    "os",
    "re",
    "six",
    "sys",
    "time",
    "unicodedata",
    "is_tf_keras",
}


def public_names(module):
    tree = ast.parse((ROOT / "bert4keras3" / module / "__init__.py").read_text(encoding="utf-8"))
    assigned = [
        node for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    ]
    lists = [one for node in assigned for one in ast.walk(node.value) if isinstance(one, ast.List)]
    return {item.value for one in lists for item in one.elts if isinstance(item, ast.Constant)}


@pytest.mark.parametrize(
    "module", ["models", "layers", "snippets", "checkpoints", "optimizers", "generation"]
)
def test_reference_has_every_public_name(module):
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.md"))
    documented = set(re.findall(r":: (?:[\w.]+\.)?(\w+)$", pages, re.MULTILINE))
    others = {"K", "MODELS", "Model", "keras", "uniout", "is_py2"}  # Keras's own, data, relics
    others |= LEAKED
    assert public_names(module) - documented - others == set()


@pytest.mark.parametrize(
    "command",
    [
        "nox -s parity-keras4",
        "nox -s table",
        "nox -s parity-jax -- --case no-such-case",
        "pip install bert4keras3[no-such-extra]",
        "python -m no_such_module",
        "make docs",
    ],
)
def test_command_that_cannot_be_run_is_found(command, tmp_path):
    with pytest.raises((AssertionError, subprocess.CalledProcessError)):
        test_command_can_be_run(command, tmp_path)


@pytest.mark.parametrize("system", [name for name, system in SYSTEMS.items() if system.page])
def test_system_is_built_as_its_cases_are(system):
    cases = {case.arguments.get("model", "bert") for case in CASES_BY_NAME.values() if case.system == system}
    stated = set(re.findall(r"`([\w.]+)`", SYSTEMS[system].build))
    assert stated and stated <= cases
