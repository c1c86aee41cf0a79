"""The measuring side of a worker: starts it, asks it, halts it between its turns, and gives up on it in time."""

import json
import os
import queue
import signal
import subprocess
import threading
from pathlib import Path

from bench.subjects import Subject

ENVIRONMENTS = Path(os.environ.get("BERT4KERAS3_ENVIRONMENTS", Path(__file__).parent.parent / ".nox"))
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


class Absent(Exception):
    """What a subject needs is not here."""


class Failed(Exception):
    """A subject crashed, hung or raised."""


def python_of(subject: Subject) -> Path:
    return ENVIRONMENTS / subject.environment.environment / "bin" / "python"


def worker_command(subject: Subject) -> list[str]:
    """Raises Absent where there is no such environment."""
    python = python_of(subject)
    if not python.exists():
        pairing = subject.environment
        raise Absent(f"no environment {pairing.environment}, which needs Python {pairing.python}")
    return [str(python), "-m", "bench.worker", subject.name]


class WorkerProcess:
    """Halted but for the time of a request, so that no thread of it spins while another is measured."""

    def __init__(self, subject: Subject, folder: Path, device: str = "cpu") -> None:
        command = worker_command(subject)
        folder.mkdir(parents=True, exist_ok=True)
        empty = folder / "empty"  # to run in: nothing may come before the installed packages
        empty.mkdir(exist_ok=True)
        self.log = folder / f"{subject.name}.log"
        variables = {**os.environ, **QUIET, **subject.environment.variables}
        if device == "cpu":
            variables["CUDA_VISIBLE_DEVICES"] = ""
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=empty,
                env=variables,
                start_new_session=True,  # Ctrl-C is for the one who measures
                text=True,
            )
        self.replies: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.replies.put(line)
        self.replies.put("")

    def ask(self, timeout: float, do: str, **request) -> dict:
        """The reply to one request; raises Failed for a crash, an error, or none in time; Absent for what the
        subject does not have.
        """
        assert self.process.stdin
        try:
            self.signal(signal.SIGCONT)
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
            line = self.replies.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise Failed(f"no answer to {do} in {timeout:.0f} s")
        except (BrokenPipeError, ProcessLookupError):
            line = ""
        if not line:
            raise Failed(f"{self.how_it_ended()}: {self.last_words()}")
        self.signal(signal.SIGSTOP)
        reply = json.loads(line)
        if reply["status"] == "unsupported":
            raise Absent(reply["reason"])
        if reply["status"] == "failed":
            raise Failed(reply["reason"])
        return reply

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def how_it_ended(self) -> str:
        code = self.process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "nothing said"

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()  # a halted process does not hear anything else
        self.process.wait()
