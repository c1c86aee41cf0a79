"""Ray Train as the launcher of processes_torch.py, on this machine or on a cluster.

    pip install "ray[train]"
    python processes_ray.py --processes 2 [arguments of processes_torch.py]

On several machines --backup is a file that all of them see. Ray starts all processes anew if one fails, up to three
times, and the script resumes from its backup.
"""

import argparse
import os
import runpy
import sys

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

parser = argparse.ArgumentParser()
parser.add_argument("--processes", type=int, default=2)
parser.add_argument("--gpus", action="store_true", help="a GPU for each process")
options, words = parser.parse_known_args()


def train(config):
    folder, sys.argv[1:] = config["folder"], config["words"]
    sys.path.insert(0, folder)
    os.environ["KERAS_BACKEND"] = "torch"
    runpy.run_path(os.path.join(folder, "processes_torch.py"))


TorchTrainer(
    train,
    train_loop_config={"folder": os.path.dirname(os.path.abspath(__file__)), "words": words},
    torch_config=TorchConfig(backend="nccl" if options.gpus else "gloo"),
    scaling_config=ScalingConfig(num_workers=options.processes, use_gpu=options.gpus),
    run_config=RunConfig(failure_config=FailureConfig(max_failures=3)),
).fit()
