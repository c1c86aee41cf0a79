"""The Python of the pages runs, against a tiny checkpoint that has the names of a released one."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from bert4keras3.backend import keras

ROOT = Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "parity" / "goldens"
PAGES = ["README.md", "README.zh-CN.md"] + sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")
)


def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)


WITH_PYTHON = [page for page in PAGES if python_blocks(page)]
ON_KERAS_3 = ("docs/speed.md",)


@pytest.fixture
def released_folder(tmp_path, monkeypatch):
    """An empty working directory with the folder that the pages name, as downloaded."""
    folder = tmp_path / "chinese_L-12_H-768_A-12"
    shutil.copytree(str(GOLDENS / "checkpoints" / "google_bert"), str(folder))
    tokens = (GOLDENS / "vocab.txt").read_text(encoding="utf-8").split("\n")[:120]
    (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return folder


def test_pages_with_python_are_found():
    assert {"README.md", "README.zh-CN.md"} < set(WITH_PYTHON)


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_of_the_page_runs(page, released_folder, fresh_session):
    """All blocks of a page in one namespace, in order."""
    if page in ON_KERAS_3 and not hasattr(keras, "ops"):
        pytest.skip("about Keras 3")
    names = {}
    for block in python_blocks(page):
        exec(compile(block, page, "exec"), names)
    if "README" in page:
        prediction = names["model"].predict([names["token_ids"], names["segment_ids"]])
        expected = (1, 6, 32)  # (1, 6, 768) with the released sizes
        assert prediction.shape == expected, f"{page}: {prediction.shape}, expected {expected}"
        assert np.isfinite(prediction).all()
