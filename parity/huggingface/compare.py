"""Judge models from folders that transformers wrote, by the error ratio to what transformers computes."""

import functools
import io
import json
import zipfile
from typing import Any, NamedTuple

import numpy as np

from parity.compare import FLOOR, Red, rank
from parity.store import GOLDENS
from parity.subsample import rms

HUGGING_FACE = GOLDENS / "huggingface.zip"


class Folder(NamedTuple):
    """One folder of transformers.

    Attributes:
        files: {name: bytes}.
        inputs: arrays for our model.
        seen: (batch, length), False for padding.
        answers: for each of our models (arguments, outputs in float64, error of the outputs in float32).
    """

    files: dict
    inputs: list
    seen: Any
    answers: list


def names():
    """Names of all folders."""
    with zipfile.ZipFile(str(HUGGING_FACE)) as archive:
        return sorted({path.split("/")[0] for path in archive.namelist()})


@functools.lru_cache(maxsize=None)
def read(name: str) -> Folder:
    """One folder."""
    with zipfile.ZipFile(str(HUGGING_FACE)) as archive:
        files = {
            path.split("/")[1]: archive.read(path)
            for path in archive.namelist()
            if path.split("/")[0] == name
        }
    info = json.loads(files.pop("golden.json").decode())
    arrays = np.load(io.BytesIO(files.pop("golden.npz")))
    inputs = [arrays[f"input/{i}"] for i in range(sum(key.startswith("input") for key in arrays.files))]
    answers = []
    for i, arguments in enumerate(info["answers"]):
        exact = [arrays[key] for key in sorted(arrays.files) if key.startswith(f"exact/{i}/")]
        answers.append((arguments, exact, float(arrays[f"noise/{i}"])))
    return Folder(files, inputs, inputs[0] != info["padding"], answers)


def error(outputs: Any, exact: Any, seen: Any) -> float:
    """Root mean square of outputs − exact, without padding; infinite if shapes differ."""
    if [one.shape for one in outputs] != [one.shape for one in exact]:
        return np.inf
    differences = [one - two for one, two in zip(outputs, exact)]
    return rms([one[seen] if one.shape[:2] == seen.shape else one for one in differences])


def joint_ratio(outputs: Any, exact: Any, noise: float, seen: Any) -> float:
    """Error ratio of the outputs of one model.

    Args:
        outputs: arrays.
        exact: what transformers computes in float64.
        noise: error of what it computes in float32.
        seen: (batch, length), False for padding.
    """
    return error(outputs, exact, seen) / max(noise, FLOOR * rms(exact))


def expected_cases(kind, flavour, everything):
    """A case is a folder."""
    return names()


def compare(kind, name, results):
    """(largest error ratio of the models of a folder, their arguments); all outputs of a model count together."""
    known, ratios = read(name), {}
    expected = {f"{i}/{j}" for i, (_, exact, _) in enumerate(known.answers) for j in range(len(exact))}
    if set(results) != expected:
        raise Red(f"outputs {sorted(results)}, expected {sorted(expected)}")
    for i, (arguments, exact, noise) in enumerate(known.answers):
        outputs = [results[f"{i}/{j}"] for j in range(len(exact))]
        if [one.shape for one in outputs] != [one.shape for one in exact]:
            raise Red(f"shapes {[one.shape for one in outputs]}, expected {[one.shape for one in exact]}")
        ratios[str(arguments)] = joint_ratio(outputs, exact, noise, known.seen)
    worst = max(ratios, key=lambda arguments: rank(ratios[arguments]))
    return ratios[worst], worst
