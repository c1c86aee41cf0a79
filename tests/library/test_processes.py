"""Several processes compute what one computes, and a run that was killed goes on where it was."""

import itertools
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import bert4keras3
from bert4keras3.backend import FLAVOUR, framework, keras
from bert4keras3.processes import Backup, fully_shard
from bert4keras3.snippets import DataGenerator
from parity.compare import BOUND, FLOOR
from parity.subsample import rms

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LIBRARY = str(Path(bert4keras3.__file__).resolve().parents[1])
ENGINES = {"jax": [[]], "torch": [["--engine", "ddp"], ["--engine", "fsdp"]], "tensorflow": [[]]}
ENGINES_HERE = ENGINES.get(framework, []) if FLAVOUR == "keras3" else []
with_an_engine = pytest.mark.skipif(not ENGINES_HERE, reason="for the engines of Keras 3")


class Numbers(DataGenerator):
    def __iter__(self, random=False):
        batch = []
        for is_end, sample in self.sample(random):
            batch.append(sample)
            if len(batch) == self.batch_size or is_end:
                yield np.array(batch), None
                batch = []


def epoch(generator, **options):
    """The batches of an epoch, as lists."""
    return [x.tolist() for x, _ in itertools.islice(generator.forfit(**options), len(generator))]


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize("as_data", [list, iter], ids=["sized", "unsized"])
def test_each_sample_is_in_one_process(as_data, shuffled):
    parts = [
        [x.tolist() for x, _ in Numbers(as_data(range(22)), 3, shard=(i, 4)).__iter__(shuffled)]
        for i in range(4)
    ]
    seen = [sample for part in parts for batch in part for sample in batch]
    assert len(seen) == len(set(seen)) == 20  # 22 - 22 % 4
    assert [[len(batch) for batch in part] for part in parts] == [[3, 2]] * 4


def test_first_batches_of_all_processes_are_the_first_batch_of_one():
    one = epoch(Numbers(list(range(24)), 8, seed=0))
    parts = [epoch(Numbers(list(range(24)), 4, shard=(i, 2), seed=0)) for i in range(2)]
    assert [sorted(a + b) for a, b in zip(*parts)] == [sorted(batch) for batch in one]


def test_order_does_not_depend_on_other_random_numbers():
    orders = []
    for seed in (1, 2):
        np.random.seed(seed)
        orders.append(epoch(Numbers(list(range(24)), 8, shard=(0, 2))))
    assert orders[0] == orders[1]


def test_epochs_have_orders_of_their_own():
    generator = Numbers(list(range(24)), 8, seed=0)
    assert epoch(generator) != epoch(generator)


@pytest.mark.parametrize("step", [0, 2, 3, 7])
def test_data_resume_in_the_middle_of_an_epoch(step):
    def batches(**options):
        found = Numbers(list(range(20)), 4, shard=(1, 2)).forfit(**options)
        return [x.tolist() for x, _ in itertools.islice(found, 12)]

    assert batches(initial_step=step)[: 12 - step] == batches()[step:]


def test_initial_step_needs_a_seed():
    with pytest.raises(ValueError, match="seed"):
        next(Numbers(list(range(20)), 4).forfit(initial_step=2))


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0)])
def test_shard_is_an_index_below_a_number(shard):
    with pytest.raises(ValueError, match="shard: expected"):
        Numbers([1, 2], 1, shard=shard)


def small_model(units=3):
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dropout(0.5), keras.layers.Dense(units)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return model


def train(model, backup, steps):
    inputs, targets = np.ones((4, 2)), np.zeros((4, 3))
    losses = []
    for _ in range(steps):
        model.reset_metrics()
        losses.append(float(np.ravel(model.train_on_batch(inputs, targets))[0]))
        backup.after_step()
    return losses


@with_an_engine
def test_backup_resumes_weights_optimizer_and_dropout(tmp_path):
    path = str(tmp_path / "backup.npz")
    keras.utils.set_random_seed(0)
    model = small_model()
    backup = Backup(path, model, every=3)
    assert backup.restore() == 0
    expected = train(model, backup, 8)
    keras.utils.set_random_seed(7)
    model = small_model()
    backup = Backup(path, model, every=3)
    assert backup.restore() == 6
    assert train(model, backup, 2) == expected[6:]
    assert os.listdir(str(tmp_path)) == ["backup.npz"]


@with_an_engine
def test_backup_of_another_model_is_refused(tmp_path):
    path = str(tmp_path / "backup.npz")
    model = small_model()
    train(model, Backup(path, model, every=1), 1)
    with pytest.raises(ValueError, match=r"backup.npz.*kernel: expected shape \(2, 4\), found \(2, 3\)"):
        Backup(path, small_model(4)).restore()


@with_an_engine
def test_damaged_backup_is_refused(tmp_path):
    path = tmp_path / "backup.npz"
    path.write_bytes(b"PK damaged")
    with pytest.raises(ValueError, match="backup.npz: not the backup"):
        Backup(str(path), small_model()).restore()


@pytest.mark.skipif(FLAVOUR == "keras3", reason="about Keras 2")
def test_keras_2_says_what_to_use():
    with pytest.raises(ImportError, match="BackupAndRestore"):
        Backup("backup.npz", None)


@pytest.mark.skipif(FLAVOUR != "keras3" or framework == "torch", reason="PyTorch has FSDP")
def test_fully_shard_says_what_to_use():
    with pytest.raises(NotImplementedError, match="ModelParallel"):
        fully_shard(None)


LAUNCH = [sys.executable, "-m", "bert4keras3.launch", "--processes", "2"]


def environment(**variables):
    path = os.pathsep.join([LIBRARY, os.environ.get("PYTHONPATH", "")])
    return dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS="1", **variables)


def launch(*words, **options):
    return subprocess.run([*LAUNCH, *words], env=environment(), stderr=subprocess.PIPE, timeout=60, **options)


FAILS = "import os, sys, time; i = int(os.environ['RANK']); %s if i == 1 else time.sleep(50)"


@pytest.mark.parametrize(
    "action, reason",
    [("sys.exit(3)", "failed with exit status 3"), ("os.kill(os.getpid(), 9)", "was ended by SIGKILL")],
)
def test_launcher_ends_all_processes_if_one_fails(tmp_path, action, reason):
    script = tmp_path / "script.py"
    script.write_text(FAILS % action)
    started = time.monotonic()
    result = launch(str(script))
    assert result.returncode == 1 and time.monotonic() - started < 30
    assert f"process 1 of 2 {reason}; the other processes were ended" in result.stderr.decode()


def test_launcher_gives_each_process_its_place(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys; open(sys.argv[1] + os.environ['RANK'], 'w').write(os.environ['TF_CONFIG'])"
    )
    assert launch(str(script), str(tmp_path / "seen-")).returncode == 0
    assert '"index": 0' in (tmp_path / "seen-0").read_text()
    assert '"index": 1' in (tmp_path / "seen-1").read_text()


# The examples, with two processes


@pytest.mark.parametrize("name", ["jax", "torch", "tensorflow", "ray"])
def test_page_has_the_commands_of_the_scripts(name):
    text = (EXAMPLES / f"processes_{name}.py").read_text(encoding="utf-8").split('"""')[1]
    page = (EXAMPLES.parent / "docs" / "processes.md").read_text(encoding="utf-8")
    (command,) = re.findall(rf"^ *(\S.* processes_{name}\.py.*)$", text, re.M)
    assert f"\n{command}\n" in page


def command(processes, *words):
    start = LAUNCH if processes == 2 else [sys.executable]
    return [*start, f"processes_{framework}.py", *words]


def losses_in(output):
    return {int(step): float(loss) for step, loss in re.findall(r"step (\d+): loss (\S+)", output)}


def losses(processes, *words, **variables):
    """{step: loss} of a run of an example."""
    result = subprocess.run(
        command(processes, *words),
        cwd=str(EXAMPLES),
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    output = result.stdout.decode("utf-8", "replace")
    assert result.returncode == 0, output[-3000:]
    return losses_in(output)


@with_an_engine
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES_HERE, ids=str)
def test_two_processes_train_as_one_with_the_joined_batch(engine, tmp_path):
    (tmp_path / "keras.json").write_text('{"floatx": "float64"}')
    words = ["--dropout", "0", "--epochs", "3", *engine]
    two, one = losses(2, *words), losses(1, *words)
    double = losses(1, *words, KERAS_HOME=str(tmp_path), JAX_ENABLE_X64="1", BERT4KERAS3_ACCELERATE="0")
    two, one, double = (np.array([values[step] for step in sorted(values)]) for values in (two, one, double))
    assert len(two) == 24
    ratio = rms([two - double]) / max(rms([one - double]), FLOOR * rms([double]))
    print(f"error ratio {ratio:.3g}, of one process {rms([one - double]) / rms([double]):.3g}")
    assert ratio <= BOUND, f"losses of two processes: error ratio {ratio:.3g}, expected at most {BOUND:g}"


def workers(launcher):
    """Process ids of the processes that a launcher has started."""
    try:
        return [int(word) for word in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]
    except FileNotFoundError:
        return []


def run_until(seconds, chosen, words):
    """Start the example, and kill a worker after some seconds. Returns (exit status, output, was one killed)."""
    process = subprocess.Popen(
        command(2, *words),
        cwd=str(EXAMPLES),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    time.sleep(seconds)
    found = workers(process.pid)
    killed = len(found) == 2
    if killed:
        os.kill(found[chosen], signal.SIGKILL)
    output = process.communicate(timeout=300)[0].decode("utf-8", "replace")
    return (
        process.returncode,
        output,
        killed and process.returncode != 0,
    )  # it may have come to its end before


@with_an_engine
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES_HERE, ids=str)
def test_run_that_was_killed_resumes_to_the_same_losses(engine, tmp_path):
    """A worker is killed at 10 random moments. What is computed again is computed equally."""
    words = ["--epochs", "3", "--every", "2", *engine]
    started = time.monotonic()
    expected = losses(2, *words, "--backup", str(tmp_path / "uninterrupted.npz"))
    duration = time.monotonic() - started
    words += ["--backup", str(tmp_path / "backup.npz")]
    seeded, found, kills = random.Random(0), {}, 0
    while kills < 10:
        moment, chosen = seeded.uniform(0.3, 1) * duration, seeded.randrange(2)
        status, output, killed = run_until(moment, chosen, words)
        found_now = losses_in(output)
        compare(found_now, expected)
        found.update(found_now)
        kills += killed
        if killed:
            assert status == 1 and f"process {chosen} of 2 was ended by SIGKILL" in output, output[-2000:]
        elif status == 0:  # it came to its end before
            (tmp_path / "backup.npz").unlink()
    found.update(losses(2, *words))
    compare(found, expected)
    assert set(found) == set(expected)


def compare(found, expected):
    for step, loss in found.items():
        assert loss == pytest.approx(expected[step], rel=1e-6), (
            f"step {step}: {loss}, expected {expected[step]}"
        )
