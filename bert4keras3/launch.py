"""Start one script in several processes of this machine, and end all of them if one fails.

    python -m bert4keras3.launch --processes 2 script.py [its arguments]
    python -m bert4keras3.launch --processes 2 -m module [its arguments]

It sets the environment variables that the engines read: torchrun's for PyTorch, keras.distribution's for JAX, and
TF_CONFIG for TensorFlow. For several machines use the launcher of the cluster: torchrun, Slurm, Ray Train.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Sequence

HOST = "127.0.0.1"


def environments(count: int) -> list[dict[str, str]]:
    """The variables of each process; the ports are free ones of this machine."""
    first, *workers = free_ports(count + 1)
    cluster = {"worker": [f"{HOST}:{port}" for port in workers]}
    return [
        {
            "RANK": str(index),
            "LOCAL_RANK": str(index),
            "WORLD_SIZE": str(count),
            "MASTER_ADDR": HOST,
            "MASTER_PORT": str(first),
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"{HOST}:{first}",
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
            "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
            "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        }
        for index in range(count)
    ]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def run(command: Sequence[str], count: int) -> str | None:
    """Run a command in `count` processes. If one fails, end the others and return which one failed, and how."""
    processes = [
        subprocess.Popen(command, env={**os.environ, **variables}, preexec_fn=end_with_parent)
        for variables in environments(count)
    ]
    try:
        while True:
            codes = [process.poll() for process in processes]
            failed = [index for index, code in enumerate(codes) if code]
            if failed:
                return f"process {failed[0]} of {count} {exit_reason(codes[failed[0]])}"
            if None not in codes:
                return None
            time.sleep(0.05)
    finally:
        for process in processes:
            process.kill()  # one that waits for a peer answers no other signal
            process.wait()


def end_with_parent() -> None:
    """Let Linux end this process if the launcher is killed."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(1, signal.SIGKILL)


def exit_reason(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"failed with exit status {code}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bert4keras3.launch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--processes", type=int, required=True, help="how many to start")
    parser.add_argument("-m", dest="module", action="store_true", help="the script is the name of a module")
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the script")
    options = parser.parse_args(arguments)
    if options.processes < 1:
        parser.error(f"--processes: expected at least 1, got {options.processes}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    words = ["-m"] * options.module + [options.script, *options.arguments]
    failure = run([sys.executable, *words], options.processes)
    if failure is None:
        return 0
    print(
        f"bert4keras3.launch: {failure}; the other processes were ended. "
        "Start the same command again: a script with a Backup resumes.",
        file=sys.stderr,
        flush=True,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
