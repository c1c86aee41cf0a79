"""python -m bert4keras3.embed --engine ray: the same vectors, whatever is killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from test_embed import LINES, command, contents, vectors, words
from test_text_encoder import folder_of_sentence_transformers

from bert4keras3.embed.__main__ import main
from bert4keras3.embed.on_ray import share_of_a_worker
from bert4keras3.launch import free_ports

KILLS = 20
ON_RAY = ("--engine", "ray", "--workers", "2")


@pytest.mark.parametrize(
    "machines, workers, expected",
    [
        ([(2, 0)], 1, (2, 0)),
        ([(2, 0)], 2, (1, 0)),
        ([(8, 0), (8, 0)], 3, (4, 0)),  # 5 CPUs would leave room for 2
        ([(16, 2), (4, 0)], 2, (8, 1)),
        ([(0, 0), (64, 8)], 8, (8, 1)),  # a head without CPUs
    ],
)
def test_workers_share_the_machines(machines, workers, expected):
    assert share_of_a_worker(machines, workers) == expected


@pytest.mark.parametrize("machines, workers", [([(2, 0)], 3), ([(16, 1)], 2)])
def test_too_many_workers_are_told(machines, workers):
    with pytest.raises(ValueError, match=rf"--workers {workers}: .*no room"):
        share_of_a_worker(machines, workers)


def test_a_missing_ray_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "texts.txt").write_text("a\n")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(words("model", tmp_path / "texts.txt", tmp_path / "out", *ON_RAY)) == 2
    assert "pip install 'bert4keras3[ray]'" in capsys.readouterr().err


def test_an_address_needs_the_engine(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(words("model", "texts.txt", tmp_path, "--address", "auto"))
    assert "--address needs --engine ray" in capsys.readouterr().err


# From here on with Ray itself, in processes of their own.


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("ray", reason="Ray is not installed in this pairing: nox -s engines")
    return folder_of_sentence_transformers(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(f"{line} {i}" for i, line in enumerate(LINES * 100)) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def whole(model, source, tmp_path_factory):
    """Folder of the vectors by Ray without a kill."""
    folder = tmp_path_factory.mktemp("whole")
    subprocess.run([*command(model, source, folder), *ON_RAY], check=True)
    return folder


@pytest.mark.slow
def test_vectors_are_those_of_one_process(model, source, whole, tmp_path):
    assert main(words(model, source, tmp_path / "one")) == 0
    np.testing.assert_allclose(vectors(whole), vectors(tmp_path / "one"), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "content, reason", [('{"text": "a"}\n[1]\n', "line 2: expected a JSON object"), (None, "config.json")]
)
def test_a_worker_that_fails_says_why(content, reason, model, source, tmp_path):
    """A wrong line, and a folder without a model."""
    path = tmp_path / "texts.jsonl"
    path.write_text(content or '{"text": "a"}\n')
    folder = model if content else tmp_path
    run = subprocess.run([*command(folder, path, tmp_path / "out"), *ON_RAY], capture_output=True, text=True)
    assert run.returncode == 2 and reason in run.stderr and "Traceback" not in run.stderr


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Address of a cluster whose machine has neither the working directory nor the Keras of this process."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    (port,) = free_ports(1)
    folder = tempfile.mkdtemp()  # sockets lie in it, whose paths are short
    words = (
        f"start --head --block --node-ip-address 127.0.0.1 --port {port} --include-dashboard false".split()
    )
    words = [str(Path(sys.executable).with_name("ray")), *words, "--temp-dir", folder]
    run = subprocess.Popen(words, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    yield f"127.0.0.1:{port}"
    run.terminate()
    run.wait()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_cluster_takes_the_paths_and_the_keras_of_the_command(model, source, cluster, tmp_path):
    source.with_name("few.txt").write_text("\n".join(LINES) + "\n", "utf-8")
    run = [*command(model, "few.txt", tmp_path / "two"), *ON_RAY, "--address", cluster]
    subprocess.run(run, check=True, cwd=str(source.parent))
    assert main(words(model, source.with_name("few.txt"), tmp_path / "one")) == 0
    np.testing.assert_allclose(vectors(tmp_path / "two"), vectors(tmp_path / "one"), atol=1e-6)


def descendants(process):
    """[(id, words of its command)] of what a process has started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass
    found, new = set(), {process}
    while new:
        found |= new
        new = {one for one, parent in parents.items() if parent in new}
    for one in found - {process}:
        try:
            yield one, Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            pass


def wait_for_a_shard(run, folder):
    """Until a run has written one more."""
    before = len(contents(folder))
    while run.poll() is None and len(contents(folder)) == before:
        time.sleep(0.01)


def workers_of(run):
    return [one for one, words in descendants(run.pid) if "MapBatches(Worker)" in words]


def check_shards(folder, whole):
    """What has the name of a shard is that shard, whole."""
    for name, content in contents(folder).items():
        assert content == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_kill_9_of_the_driver_loses_and_changes_nothing(model, source, whole, tmp_path):
    moments, words = random.Random(0), [*command(model, source, tmp_path), *ON_RAY]
    for number in range(KILLS):
        run = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        if number % 4:  # every fourth kill is during the start
            wait_for_a_shard(run, tmp_path)
        time.sleep(moments.uniform(0, 0.5 if number % 4 else 5))
        assert run.poll() is None
        run.kill()
        run.wait()
        check_shards(tmp_path, whole)
    subprocess.run(words, check=True)
    assert contents(tmp_path) == contents(whole)
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.slow
def test_kill_9_of_workers_loses_and_changes_nothing(model, source, whole, tmp_path):
    moments = random.Random(1)
    run = subprocess.Popen([*command(model, source, tmp_path), *ON_RAY], stdout=subprocess.DEVNULL)
    for _ in range(KILLS):
        wait_for_a_shard(run, tmp_path)
        time.sleep(moments.uniform(0, 0.5))
        assert run.poll() is None
        os.kill(moments.choice(workers_of(run)), signal.SIGKILL)
        check_shards(tmp_path, whole)
    assert run.wait() == 0
    assert contents(tmp_path) == contents(whole)
    assert not list(tmp_path.glob("*.tmp"))
