"""The Python of the pages runs, against a tiny checkpoint that has the names of a released one."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from bert4keras3.backend import framework, keras
from parity.huggingface.compare import read

ROOT = Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "parity" / "goldens"
PAGES = ["README.md"] + sorted(  # README.zh-CN.md has the same code, see tests/harness/test_docs.py
    str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")
)


def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)


WITH_PYTHON = [page for page in PAGES if python_blocks(page)]
# blocks for Keras 3: Keras 2 has no cached generation and no quantize, and needs sample_weight_mode in `compile`
ON_KERAS_3 = re.compile("from bert4keras3.generation import|import packed_transformer|import lora|quantize")


@pytest.fixture
def released_folder(tmp_path, monkeypatch):
    """An empty working directory with the folders that the pages name, as downloaded."""
    folder = tmp_path / "chinese_L-12_H-768_A-12"
    shutil.copytree(str(GOLDENS / "checkpoints" / "google_bert"), str(folder))
    tokens = (GOLDENS / "vocab.txt").read_text(encoding="utf-8").split("\n")[:120]
    (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    for name in ("chinese_simbert_L-12_H-768_A-12", "all-MiniLM-L6-v2"):
        shutil.copytree(str(folder), str(tmp_path / name))
    shutil.copytree(str(folder), str(tmp_path / "bert-base-chinese"), ignore=shutil.ignore_patterns("bert_*"))
    for name, content in read("bert-pretraining").files.items():
        (tmp_path / "bert-base-chinese" / name).write_bytes(content)
    (tmp_path / "bert-base-chinese" / "vocab.txt").write_text("\n".join(tokens[:20]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return folder


def test_pages_with_python_are_found():
    assert {"README.md", "docs/getting_started.md"} < set(WITH_PYTHON)


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_of_the_page_runs(page, released_folder, fresh_session):
    """All blocks of a page in one namespace, in order; on Keras 2, those before the first for Keras 3."""
    keras.utils.set_random_seed(0) if hasattr(keras.utils, "set_random_seed") else np.random.seed(0)
    names = {}
    for block in python_blocks(page):
        if ON_KERAS_3.search(block) and not hasattr(keras, "ops"):
            break
        if "keras.distribution" in block and framework != "jax":
            continue
        if "WebServing" in block and find_spec("starlette") is None:
            break
        exec(compile(block, page, "exec"), names)
        if (page, python_blocks(page).index(block)) in CHECKS:
            CHECKS[page, python_blocks(page).index(block)](names)


def check_quick_start(names):
    """The tiny model has learned what it was trained on."""
    answers = names["model"].predict([names["token_ids"], names["segment_ids"]])
    assert ((answers[:, 0] > 0.5) == names["has_token"]).mean() > 0.99


def check_real_weights(names):
    expected = (1, 6, 32)  # (1, 6, 768) with the released sizes
    assert names["features"].shape == expected
    assert np.isfinite(names["features"]).all()


def check_fine_tuning(names):
    assert (names["probabilities"].argmax(axis=1) == names["labels"][:, 0]).mean() > 0.9


def check_saving(names):
    np.testing.assert_allclose(names["loaded"].predict(names["inputs"]), names["probabilities"], atol=1e-6)


def check_generation(names):
    assert [tokens.tolist() for tokens in names["greedy"]] == [[4, 5, 6, 7], [9, 1, 2, 3]]


def check_vectors(names):
    assert names["vectors"].shape == (2, 32) and np.isfinite(names["vectors"]).all()


def check_packed_training(names):
    probas = names["model"].predict([np.array([[101, 17, 102]]), np.zeros((1, 3))], verbose=0)
    assert probas.shape == (1, 2) and len(names["trained"].history.history["loss"]) == 1


def check_packed(names):
    assert [one.shape for one in names["hidden_states"]] == [(3, 32), (5, 32)]


# {(page, number of its block): what has to hold after it}
CHECKS = {
    ("README.md", 0): check_quick_start,
    ("README.md", 1): check_real_weights,
    ("docs/getting_started.md", 2): check_fine_tuning,
    ("docs/getting_started.md", 3): check_saving,
    ("docs/getting_started.md", 5): check_generation,
    ("docs/text_encoder.md", 0): check_vectors,
    ("docs/text_encoder.md", 2): check_packed,
    ("docs/text_encoder.md", 3): check_packed_training,
}
