"""Judge training of adapters by what PEFT on transformers computes from the same weights, adapters and batch."""

import functools
import io
import zipfile

import numpy as np

from parity.compare import FLOOR, TINY, Red, rank
from parity.huggingface.compare import read as read_folder
from parity.lora.cases import CASES
from parity.store import GOLDENS
from parity.subsample import rms

LORA = GOLDENS / "lora.zip"
QUICK = ("bert-adamw", "t5-sgd", "gpt2-adamw", "bert-embeddings")
FILES = ("adapter_config.json", "adapter_model.safetensors")


@functools.lru_cache(maxsize=None)
def read(name):
    """(files of the adapter {name: bytes}, arrays of the golden) of a case."""
    with zipfile.ZipFile(str(LORA)) as archive:
        files = {file: archive.read(f"{name}/{file}") for file in FILES}
        arrays = np.load(io.BytesIO(archive.read(f"{name}/golden.npz")))
        return files, {key: arrays[key] for key in arrays.files}


def expected_cases(kind, flavour, everything):
    """The cases; without `everything` those with all kinds of layers."""
    return list(CASES) if everything else list(QUICK)


def compare(kind, name, results):
    """(largest error ratio of losses, outputs and matrices after the training; what has it).

    "merged/<number>" are the outputs after `merge`. All matrices a count together, and so do all matrices b.
    """
    golden, groups = read(name)[1], {}
    for key in golden:
        if "@" not in key:
            group = key.split("/")[0]
            group = f"adapter {'a' if '_A' in key else 'b'}" if group == "adapter" else group
            groups.setdefault(group, {})[key] = key
    groups["merged"] = {key.replace("output", "merged"): key for key in groups["output"]}
    expected = {ours for group in groups.values() for ours in group}
    if set(results) != expected:
        raise Red(f"arrays differ: {sorted(set(results) ^ expected)[:4]}")
    seen = read_folder(CASES[name].folder).seen
    ratios = {group: ratio(golden, results, pairs, seen) for group, pairs in groups.items()}
    worst = max(ratios, key=lambda group: rank(ratios[group]))
    return ratios[worst], worst


def ratio(golden, results, pairs, seen):
    """Error ratio of several arrays together, without padding."""
    for ours, theirs in pairs.items():
        if np.shape(results[ours]) != golden[theirs].shape:
            raise Red(f"{ours} has shape {np.shape(results[ours])}, expected {golden[theirs].shape}")
    exact = [golden[theirs] for theirs in pairs.values()]
    error = rms([counted(results[ours] - golden[theirs], ours, seen) for ours, theirs in pairs.items()])
    noise = rms([np.full(golden[theirs].shape, golden[theirs + "@noise"]) for theirs in pairs.values()])
    return error / max(noise, FLOOR * rms(exact), TINY)


def counted(difference, name, seen):
    is_output = name.startswith(("output", "merged")) and difference.shape[:2] == seen.shape
    return difference[seen] if is_output else difference
