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
    """The folder that holds an older `bert4keras3/`, without its dependencies; it is made once.

    Args:
        source: path of a wheel, or a revision of git.

    Raises:
        ValueError: there is no such wheel or revision, or it holds no bert4keras3.
    """
    is_wheel = source.endswith(".whl")
    name = wheel_name(Path(source)) if is_wheel else commit_name(source)
    folder = FOLDER / name
    if not (folder / "bert4keras3").exists():
        if is_wheel:
            with zipfile.ZipFile(source) as wheel:
                wheel.extractall(folder)
        else:
            archive = git("archive", name, "bert4keras3")
            with tarfile.open(fileobj=io.BytesIO(archive)) as file:
                file.extractall(folder, filter="data")
    if not (folder / "bert4keras3" / "__init__.py").exists():
        raise ValueError(f"{source} holds no bert4keras3")
    return folder


def wheel_name(path: Path) -> str:
    if not path.exists():
        raise ValueError(f"there is no wheel {path}")
    return f"{path.stem}-{sha256(path)[:12]}"


def commit_name(revision: str) -> str:
    try:
        return git("rev-parse", "--short=12", f"{revision}^{{commit}}").decode().strip()
    except ValueError as error:
        raise ValueError(
            f"commit {revision} is not in this clone ({error}): fetch it, as by `git fetch --unshallow`"
        )


def git(*words: str) -> bytes:
    run = subprocess.run(["git", *words], cwd=ROOT, capture_output=True)
    if run.returncode:
        raise ValueError(run.stderr.decode().strip())
    return run.stdout
