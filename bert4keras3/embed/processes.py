"""Several processes on this machine, which share the shards."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import Any

from bert4keras3.checkpoints import CheckpointError
from bert4keras3.embed.shards import shard_path


def write_in_processes(options: argparse.Namespace, missing: dict[int, int], bar: Any) -> None:
    """Start processes for the shards that are missing, {number: texts in it}, and show how many texts are done."""
    words = [sys.executable, "-m", "bert4keras3.embed", *command_of(options)]
    threads = str(max(1, (os.cpu_count() or 1) // options.workers))
    environment = dict(os.environ, OMP_NUM_THREADS=threads)
    workers = [
        subprocess.Popen([*words, "--worker", str(i)], env=environment) for i in range(options.workers)
    ]
    waiting = dict(missing)
    try:
        while any(worker.poll() is None for worker in workers) and not any(
            worker.poll() for worker in workers
        ):
            for number in [i for i in waiting if os.path.exists(shard_path(options, i))]:
                bar.add(waiting.pop(number))
            time.sleep(0.2)
        failed = [i for i, worker in enumerate(workers) if worker.poll()]
        if failed:
            raise CheckpointError(
                f"worker {failed[0]} ended with status {workers[failed[0]].returncode}. What it wrote is kept: start "
                "the same command again"
            )
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait()
    bar.add(sum(waiting.values()))


def command_of(options):
    """The options as words of a command line."""
    words = []
    for name, value in vars(options).items():
        if name != "worker" and value is not None and value is not False:
            words += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return words
