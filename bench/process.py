"""The measuring side of a worker: starts it, sends requests, halts it between slices, and gives up on it in time."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from pathlib import Path

from bench.before import library_folder
from bench.implementations import Implementation
from bench.rows import ABSENT, FAILED
from parity.machine import describe_exit

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


class Absent(Exception):
    """This machine lacks what an implementation needs."""

    status = ABSENT


class Failed(Exception):
    """An implementation crashed, hung or raised."""

    status = FAILED


def worker_command(implementation: Implementation) -> list[str]:
    """The command of a worker. Raises Absent if its environment is missing."""
    pairing, python = implementation.environment, implementation.executable
    if not python.exists():
        what = f"environment {pairing.environment}, which needs Python {pairing.python}"
        raise Absent(f"no {what if implementation.pairing else python}")
    return [str(python), "-m", "bench.worker", implementation.word]


def worker_variables(implementation: Implementation, device: str) -> dict[str, str]:
    """The variables of a worker; an older library comes first on its path. Raises Absent if there is none."""
    variables = {**os.environ, **QUIET, **implementation.environment.variables}
    if device == "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = ""
    if implementation.before:
        try:
            path = [str(library_folder(implementation.before)), variables.get("PYTHONPATH", "")]
        except ValueError as reason:
            raise Absent(str(reason))
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return variables


class WorkerProcess:
    """A process that is halted except during a request, so that none of its threads disturbs a measurement."""

    def __init__(self, implementation: Implementation, folder: Path, device: str = "cpu") -> None:
        command = worker_command(implementation)
        variables = worker_variables(implementation, device)
        folder.mkdir(parents=True, exist_ok=True)
        empty = folder / "empty"  # the working folder: nothing may come before the installed packages
        empty.mkdir(exist_ok=True)
        self.log = folder / f"{implementation.name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=empty,
                env=variables,
                start_new_session=True,  # the measuring process alone answers Ctrl-C
                text=True,
            )
        self.replies: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.replies.put(line)
        self.replies.put("")

    def request(self, timeout: float, do: str, **arguments) -> dict:
        """The reply to a request, in `timeout` seconds. Raises Failed, or Absent if there is no such model or mode."""
        assert self.process.stdin
        try:
            self.process.send_signal(signal.SIGCONT)
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.replies.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise Failed(f"no answer to {do} in {timeout:.0f} s")
        except (BrokenPipeError, ProcessLookupError):
            line = ""
        if not line:
            raise Failed(f"{describe_exit(self.process.wait())}: {self.stderr_tail()}")
        self.process.send_signal(signal.SIGSTOP)
        reply = json.loads(line)
        if reply["status"] != "done":
            raise (Absent if reply["status"] == "unsupported" else Failed)(reply["reason"])
        return reply

    def stderr_tail(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "nothing on standard error"

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()  # a halted process does not hear anything else
        self.process.wait()
