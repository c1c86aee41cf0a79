"""An older bert4keras3 in a folder, from a wheel or from git; PYTHONPATH puts it before the installed one."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

from parity.store import ROOT, sha256

FOLDER = ROOT / ".cache" / "before"


def library_folder(source: str) -> Path:
    """The folder of the `bert4keras3/` of a wheel or a revision, made once. Raises ValueError if there is none."""
    path, is_wheel = Path(source), source.endswith(".whl")
    if is_wheel and not path.exists():
        raise ValueError(f"there is no wheel {path}")
    name = f"{path.stem}-{sha256(path)[:12]}" if is_wheel else commit_name(source)
    folder = FOLDER / name
    if not (folder / "bert4keras3").exists():
        if is_wheel:
            with zipfile.ZipFile(source) as wheel:
                wheel.extractall(folder)
        else:
            with tarfile.open(fileobj=io.BytesIO(git("archive", name, "bert4keras3"))) as file:
                file.extractall(folder, filter="data")
    if not (folder / "bert4keras3" / "__init__.py").exists():
        raise ValueError(f"{source} holds no bert4keras3")
    return folder


def commit_name(revision: str) -> str:
    try:
        return git("rev-parse", "--short=12", f"{revision}^{{commit}}").decode().strip()
    except ValueError as error:
        advice = "fetch it, as by `git fetch --unshallow`"
        raise ValueError(f"commit {revision} is not in this clone ({error}): {advice}")


def git(*words: str, folder: Path = ROOT) -> bytes:
    """What git prints in the repository of a folder. Raises ValueError with its message."""
    run = subprocess.run(["git", *words], cwd=folder, capture_output=True)
    if run.returncode:
        raise ValueError(run.stderr.decode().strip())
    return run.stdout
