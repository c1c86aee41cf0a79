"""python -m bert4keras3.embed: every text has its vector, also after a run that was killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_text_encoder import TEXTS, folder_of_sentence_transformers

from bert4keras3.embed import shards
from bert4keras3.embed.__main__ import main
from bert4keras3.text_encoder import TextEncoder

pytestmark = pytest.mark.usefixtures("fresh_session")
LINES = [f"{text.strip()} {'a' * (i % 5)}" for i, text in enumerate(TEXTS * 7)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return folder_of_sentence_transformers(tmp_path_factory.mktemp("model"))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(LINES) + "\n", "utf-8")
    return path


def words(model, source, target, *more):
    return [
        "--model",
        str(model),
        "--input",
        str(source),
        "--output",
        str(target),
        "--shard-size",
        "10",
        *more,
    ]


def vectors(folder):
    paths = sorted(folder.glob("*.npy"))
    assert [path.name for path in paths] == [f"vectors-{i:05d}.npy" for i in range(len(paths))]
    assert not list(folder.glob("*.tmp"))
    return np.concatenate([np.load(path) for path in paths])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.npy")}


def test_every_line_has_its_vector(model, source, tmp_path, capsys):
    assert main(words(model, source, tmp_path / "out")) == 0
    found = vectors(tmp_path / "out")
    np.testing.assert_allclose(found, TextEncoder(model).encode(LINES, show_progress=False), atol=1e-5)
    assert f"{len(LINES)} vectors in 5 files" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_other_formats(kind, model, source, tmp_path):
    path = tmp_path / f"texts.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps({"review": line}) + "\n" for line in LINES), "utf-8")
    else:
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table({"review": LINES}), str(path))
    assert main(words(model, source, tmp_path / "txt")) == 0
    assert main(words(model, path, tmp_path / kind, "--field", "review")) == 0
    assert contents(tmp_path / kind) == contents(tmp_path / "txt")


def test_parquet_shards_have_texts_and_vectors(model, source, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert main(words(model, source, tmp_path / "npy")) == 0
    assert main(words(model, source, tmp_path / "out", "--format", "parquet")) == 0
    (tmp_path / "out" / "vectors-00001.parquet").unlink()
    assert main(words(model, source, tmp_path / "out", "--format", "parquet")) == 0
    tables = [parquet.read_table(str(path)) for path in sorted((tmp_path / "out").glob("*.parquet"))]
    assert [text for table in tables for text in table["text"].to_pylist()] == LINES
    found = np.array([vector for table in tables for vector in table["vector"].to_pylist()], "float32")
    np.testing.assert_array_equal(found, vectors(tmp_path / "npy"))


def test_a_run_goes_on_where_it_ended(model, source, tmp_path, monkeypatch, capsys):
    assert main(words(model, source, tmp_path / "whole")) == 0
    written, original = [], shards.write_shard

    def write_shard(path, *arguments):
        if len(written) == 2:
            raise OSError("no space left on device")
        written.append(path)
        original(path, *arguments)

    monkeypatch.setattr(shards, "write_shard", write_shard)
    assert main(words(model, source, tmp_path / "out")) == 2
    assert "no space left" in capsys.readouterr().err
    monkeypatch.setattr(shards, "write_shard", original)
    assert main(words(model, source, tmp_path / "out")) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_other_settings_do_not_continue(model, source, tmp_path, capsys):
    assert main(words(model, source, tmp_path / "out")) == 0
    assert main(words(model, source, tmp_path / "out", "--pooling", "cls")) == 2
    assert "has pooling None, and this run has 'cls'" in capsys.readouterr().err
    source.write_text("another text\n")
    assert main(words(model, source, tmp_path / "out")) == 2
    assert "input_sha256" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("texts.csv", "a\n", "expected a .txt, .jsonl or .parquet file"),
        ("texts.jsonl", '{"text": "a"}\n[1]\n', "line 2: expected a JSON object with the field 'text'"),
        ("texts.jsonl", '{"text": 3}\n', "line 1: 'text' is 3, expected a text"),
        ("texts.txt", "a\n\xff\n", "line 2: "),
    ],
)
def test_a_wrong_input_is_named(name, content, reason, model, tmp_path, capsys):
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    assert main(words(model, tmp_path / name, tmp_path / "out")) == 2
    assert reason in capsys.readouterr().err


def test_a_missing_input_is_named(model, tmp_path, capsys):
    assert main(words(model, tmp_path / "none.txt", tmp_path / "out")) == 2
    assert "none.txt" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def command(*arguments):
    return [sys.executable, "-m", "bert4keras3.embed", *words(*arguments)]


@pytest.mark.slow
def test_several_processes_share_the_work(model, source, tmp_path):
    subprocess.run(command(model, source, tmp_path / "one"), check=True)
    subprocess.run([*command(model, source, tmp_path / "two"), "--workers", "2"], check=True)
    assert vectors(tmp_path / "one").shape == vectors(tmp_path / "two").shape
    np.testing.assert_allclose(vectors(tmp_path / "one"), vectors(tmp_path / "two"), atol=1e-6)


@pytest.mark.slow
def test_kill_9_loses_and_changes_nothing(model, source, tmp_path):
    start = time.monotonic()
    subprocess.run(command(model, source, tmp_path / "whole"), check=True)
    seconds = time.monotonic() - start
    moments = random.Random(0)
    for _ in range(20):
        run = subprocess.Popen(command(model, source, tmp_path / "out"), stdout=subprocess.DEVNULL)
        try:
            run.wait(moments.uniform(0.5, 1.1) * seconds)
        except subprocess.TimeoutExpired:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
    subprocess.run(command(model, source, tmp_path / "out"), check=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
