"""Where things lie, and how arrays and facts are written: whole or not at all."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "parity" / "goldens"
CHECKPOINTS = GOLDENS / "checkpoints"
MINILM = ROOT / ".cache" / "minilm"
RECORDS = ROOT / "results" / "records"
FOUND = ROOT / "results" / "weights"  # all about the released files in a user's folder


def checkpoint_folder(release):
    if release.folder:
        return Path(release.folder)
    return MINILM if release.name == "minilm" else CHECKPOINTS / release.name


def release_paths(release):
    """Configuration file and prefix of the checkpoint of a release."""
    folder = checkpoint_folder(release)
    return folder / release.config_name, folder / release.prefix


def golden_folder(case):
    return FOUND / "goldens" if case.found else GOLDENS


def record_folder(case, pairing):
    return (FOUND / "records" if case.found else RECORDS) / pairing


def sha256(path):
    digest = hashlib.sha256()
    with open(str(path), "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def write_whole(path, write):
    """Call `write(file)` on a file beside `path`, then put it in its place."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    with open(str(beside), "wb") as file:
        write(file)
    os.replace(str(beside), str(path))


def write_json(path, facts):
    text = json.dumps(facts, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def read_json(path):
    with open(str(path), encoding="utf-8") as file:
        return json.load(file)


def write_arrays(path, arrays):
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))


def read_arrays(path):
    with np.load(str(path), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
