"""The folders that golden_huggingface.py has recorded: what they hold, and the error ratio of an answer."""

import io
import json
import zipfile
from typing import Any, NamedTuple

import numpy as np

from parity.compare import FLOOR
from parity.store import GOLDENS
from parity.subsample import rms

HUGGING_FACE = GOLDENS / "huggingface.zip"


class Folder(NamedTuple):
    """One folder of transformers.

    Attributes:
        files: {name: bytes}.
        inputs: arrays for our model.
        answers: for each of our models (arguments, outputs in float32, outputs in float64).
    """

    files: dict
    inputs: list
    answers: list


def names():
    """Names of all folders."""
    with zipfile.ZipFile(str(HUGGING_FACE)) as archive:
        return sorted({path.split("/")[0] for path in archive.namelist()})


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
        outputs = [
            sorted(key for key in arrays.files if key.startswith(f"{kind}/{i}/"))
            for kind in ("float32", "float64")
        ]
        answers.append((arguments, *[[arrays[key] for key in keys] for keys in outputs]))
    return Folder(files, inputs, answers)


def ratio(answers: Any, expected: Any, exact: Any, seen: Any) -> float:
    """Error ratio of the outputs of one model; seen: (batch, length), False for padding.

    expected, exact: what transformers computes in float32 and in float64.
    """
    if [one.shape for one in answers] != [one.shape for one in exact]:
        return np.inf

    def kept(arrays):
        return [one[seen] if one.shape[:2] == seen.shape else one for one in arrays]

    answers, expected, exact = kept(answers), kept(expected), kept(exact)
    noise = rms([one - two for one, two in zip(expected, exact)])
    return rms([one - two for one, two in zip(answers, exact)]) / max(noise, FLOOR * rms(exact))
