"""Workers on a cluster: Ray Data hands the numbers of shards to a pool of actors, which read, compute and write them.

Ray Data can write the vectors too, with its checkpoint by id column. That is not used: it writes Parquet files under
their final names. After a kill -9 of the driver (Ray 2.60), the folder had a file that could not be read, until the
next run deleted it. Its files have random names, and the order of the texts is lost. A shard needs no checkpoint: its
number decides its texts, so a worker that repeats a shard writes the same file.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
from typing import Any

import numpy as np

from bert4keras3.checkpoints import CheckpointError
from bert4keras3.embed.shards import ShardWriter, shard_path

# Settings of Keras and its framework, which a worker on another machine does not inherit.
INHERITED = ("BERT4KERAS3_", "JAX_", "KERAS_", "TF_", "XLA_")


class Worker:
    """An actor, whose model is built for its first shard."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.shards: ShardWriter | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Write shards: {"shard": (n,)} → the same, and for each why it was not written, "" if it was."""
        try:
            for number in batch["shard"].tolist():
                # it may be there: of a worker that was killed before it could answer
                if not os.path.exists(shard_path(self.options, number)):
                    self.shards = self.shards or ShardWriter(self.options)
                    self.shards.write(number)
        except (OSError, ValueError, ImportError) as error:  # as data: Ray would add its own frames
            return {**batch, "problem": np.full(len(batch["shard"]), str(error), dtype=object)}
        return {**batch, "problem": np.full(len(batch["shard"]), "", dtype=object)}


def write_on_ray(options: argparse.Namespace, missing: dict[int, int], bar: Any) -> None:
    """Write the shards that are missing, {number: texts in it}, and show how many texts are done.

    Raises:
        ImportError: Ray is not installed.
        ValueError: the cluster is too small for the workers.
        CheckpointError: a worker failed, or wrote into a folder that this machine does not see.
    """
    if not missing:
        return
    ray = import_ray()
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # this command has its own bar
    ray.init(address=options.address or "local", log_to_driver=False, logging_level="ERROR")
    try:
        cpus, gpus = share_of_a_worker(machines(ray), options.workers)
        variables = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
        variables["OMP_NUM_THREADS"] = str(cpus)
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = ray.data.from_items([{"shard": i} for i in missing], override_num_blocks=len(missing))
        written = rows.map_batches(
            Worker,
            fn_constructor_args=[seen_from_anywhere(options)],
            compute=ray.data.ActorPoolStrategy(size=options.workers),
            num_cpus=cpus,
            num_gpus=gpus,
            runtime_env={"env_vars": variables},
        )
        for row in written.iter_rows():
            if row["problem"]:
                raise CheckpointError(row["problem"])
            if not os.path.exists(shard_path(options, row["shard"])):
                raise CheckpointError(
                    f"a worker wrote into '{options.output}' of another machine: the machines share none"
                )
            bar.add(missing[row["shard"]])
    finally:
        ray.shutdown()


def seen_from_anywhere(options):
    """Options with absolute paths: the working directory of a worker is another one."""
    paths = {name: os.path.abspath(getattr(options, name)) for name in ("input", "output")}
    if os.path.isdir(options.model):
        paths["model"] = os.path.abspath(options.model)
    return argparse.Namespace(**{**vars(options), **paths})


def machines(ray):
    """[(CPUs, GPUs)] of the machines of the cluster."""
    found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(int(one.get("CPU", 0)), int(one.get("GPU", 0))) for one in found]


def share_of_a_worker(machines: list[tuple[int, int]], workers: int) -> tuple[int, int]:
    """(CPUs, GPUs) of each worker: as many CPUs as all can have, and a GPU if there are any."""
    gpus = int(any(gpus for _, gpus in machines))
    for cpus in range(max(cpus for cpus, _ in machines), 0, -1):
        room = sum(min(all_cpus // cpus, all_gpus if gpus else math.inf) for all_cpus, all_gpus in machines)
        if room >= workers:
            return cpus, gpus
    raise ValueError(f"--workers {workers}: the machines {machines} (CPUs, GPUs) have no room for so many")


def import_ray():
    """ray with ray.data."""
    try:
        import ray.data
    except ImportError as error:
        raise ImportError("--engine ray needs Ray: pip install 'bert4keras3[ray]'") from error
    return ray
