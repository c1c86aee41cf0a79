"""A walk by the files that CONTRIBUTING names: a toy model, pairing and case in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pairings import BY_NAME
from parity.models.releases import SYSTEMS
from parity.store import ROOT, read_arrays, read_json, write_json

ENVIRONMENTS = Path(os.environ.get("BERT4KERAS3_ENVIRONMENTS", ROOT / ".nox"))
COPIED = ("bench", "bert4keras3", "docs", "pairings", "parity", "reports", "tests")
FILES = ("CONTRIBUTING.md", "README.md", "README.zh-CN.md", "noxfile.py", "pyproject.toml", "toxfile.py")

# BERT with ReLU, whatever its configuration says, on either API. EQUAL is the case that computes the same.
EQUAL = "bert-relu"
TOY = '''class Toy(BERT):
    """BERT with ReLU."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.hidden_act = "relu"


'''
# {file: [(text, what it is put before)]}; a new file is one text
MODEL = {
    "bert4keras3/models/toy.py": [
        ('"""A toy."""\n\nfrom bert4keras3.models.bert import BERT\n\n\n' + TOY, "")
    ],
    "bert4keras3/models/__init__.py": [
        ("from bert4keras3.models.toy import Toy\n", "from bert4keras3.parallel import"),
        ('    "Toy",\n', '    "Transformer",'),
        ('    "toy": Toy,\n', '    "gau_alpha": GAU_alpha,'),
    ],
    "docs/api/models.md": [(".. autoclass:: Toy\n   :show-inheritance:\n", ".. autoclass:: ALBERT\n")],
    "parity/models/releases.py": [
        ('    "toy": System("Toy", "toys/toy", "`toy`"),\n', '    "minilm": System('),
        ('    Release("toy", "toy", "bert", BERT),\n', '    Release("hit_bert_wwm"'),
    ],
    "parity/models/reference_models.py": [
        ("BERT, ", "RoFormerV2\n"),
        (TOY, "# {`model=`"),
        ('"toy": Toy, ', '"gau_alpha": GAU_alpha'),
    ],
    "parity/models/cases.py": [
        ('    Case("toy", "toy", dict(model="toy", with_mlm=True)),\n', '    Case("bert-pool"')
    ],
}
PAIRING = {
    "pairings/__init__.py": [
        (
            '    Pairing("toy-jax", "3.11", "toy", {"KERAS_BACKEND": "jax"}, "Keras 3 on JAX, a toy"),\n',
            '    Pairing(\n        "jax-python3.13"',
        )
    ],
    "pairings/pins/toy.txt": [("-r jax.txt\n", "")],
}
CASE = {
    "parity/models/cases.py": [
        (
            '    Case("bert-toy", "google_bert", dict(hidden_act="relu", with_mlm=True)),\n',
            '    Case("bert-pool"',
        )
    ]
}


def named_files(section, **names):
    """The files that a section of CONTRIBUTING names: the numbered ones, or those of its first paragraph."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = text.split(f"\n### {section}\n")[1].split("\n#")[0].strip()
    found = re.findall(r"^\d+\. `([^`]+)`", text, re.MULTILINE)
    found = found or re.findall(r"`([\w.<>-]+/[\w/.<>-]+)`", text.split("\n\n")[0])
    for name, value in names.items():
        found = [one.replace(f"<{name}>", value) for one in found]
    return sorted(found)


@pytest.mark.parametrize(
    "section, edits, names, most",
    [
        ("A model with its system", MODEL, {"name": "toy"}, 6),
        ("A pairing", PAIRING, {"environment": "toy"}, 2),
        ("A case", CASE, {}, 1),
    ],
)
def test_contributing_names_the_files(section, edits, names, most):
    assert named_files(section, **names) == sorted(edits)
    assert len(edits) <= most


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository with the toys, and with what `nox -s golden` and `nox -s docs -- --write` make for them."""
    copy = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    for edits in (MODEL, PAIRING, CASE):
        for file, texts in edits.items():
            for text, before in texts:
                put(copy / file, text, before)
    goldens = copy / "parity" / "goldens"
    shutil.copytree(goldens / "checkpoints" / "google_bert", goldens / "checkpoints" / "toy")
    for case in ("toy", "bert-toy"):
        shutil.copy(goldens / f"{EQUAL}.npz", goldens / f"{case}.npz")
        write_json(goldens / f"{case}.json", {**read_json(goldens / f"{EQUAL}.json"), "case": case})
    run(copy, sys.executable, "-m", "reports", "docs", "--write")
    return copy


def put(path, text, before):
    old = path.read_text(encoding="utf-8") if before else ""
    assert not path.exists() or old.count(before), f"{path}: no {before!r}"
    path.write_text(old.replace(before, text + before, 1) if before else text, encoding="utf-8")


def run(copy, *command, **variables):
    """What a command prints, run in the copy. It may not fail."""
    environment = {**os.environ, "PYTHONPATH": str(copy), **variables}
    done = subprocess.run(
        [str(word) for word in command], cwd=copy, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def python_of(environment):
    python = ENVIRONMENTS / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no environment {environment}: nox -s tests makes it")
    return python


def test_registries_and_pages_list_the_toys(copy):
    """The harness's own tests that are about the toys pass in the copy."""
    files = [f"tests/harness/test_{name}.py" for name in ("registry", "goldens", "dependencies", "docs")]
    chosen = "toy or tox_has or nox_lists or pins or public_name or figures"
    run(copy, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *files, "-k", chosen)
    assert "| Toy |" in (copy / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    assert "| `toy-jax` |" in (copy / "docs" / "parity.md").read_text(encoding="utf-8")


def test_the_toy_is_recorded_and_judged(copy):
    python = python_of("jax")
    run(copy, python, "-m", "parity.record", "--pairing", "toy-jax", "--case", "toy", KERAS_BACKEND="jax")
    printed = run(copy, sys.executable, "-m", "reports", "table", "toy-jax", "--case", "toy")
    (cell,) = read_json(copy / "results" / "cells" / "toy-jax.json")["cells"]
    assert "1 of 1 cases green" in printed
    assert cell["system"] == "toy" and 0 < cell["error_ratio"] < 3


@pytest.mark.slow
def test_the_reference_makes_the_golden_of_the_toy(copy):
    """It equals the golden that the copy began with."""
    python = python_of(BY_NAME["reference"].environment)
    goldens = copy / "parity" / "goldens"
    run(
        copy,
        python,
        "-m",
        "parity.models.golden_reference",
        "--case",
        "toy",
        **BY_NAME["reference"].variables,
    )
    made, equal = (read_arrays(goldens / f"{case}.npz") for case in ("toy", EQUAL))
    assert made.keys() == equal.keys() and "toy" not in SYSTEMS
    for name in equal:
        if "@" not in name:
            np.testing.assert_allclose(made[name], equal[name], atol=1e-12, err_msg=name)
