"""Judge models from folders that transformers wrote, by the error ratio to what transformers computes."""

import functools
import io
import json
import re
import zipfile
from typing import Any, NamedTuple

import numpy as np

from parity.compare import FLOOR, TINY, Red, rank
from parity.store import GOLDENS
from parity.subsample import rms

HUGGING_FACE = GOLDENS / "huggingface.zip"
GRADIENTS = "hugging-face-gradients"
BLOCK = re.compile(r"(.*?\.\d+(?=\.))?")  # such as bert.encoder.layer.0
QUICK_GRADIENTS = ("bert-pretraining", "gpt2", "t5.1.1")


class Folder(NamedTuple):
    """One folder of transformers.

    Attributes:
        files: {name: bytes}.
        inputs: arrays for our model.
        seen: (batch, length), False for padding.
        answers: for each of our models (arguments, outputs in float64, error of the outputs in float32).
        gradients: {parameter: gradient in float64, parameter@noise: its error in float32}, of the fullest answer.
    """

    files: dict
    inputs: list
    seen: Any
    answers: list
    gradients: dict


def fullest(answers):
    """Number of the answer whose model has the most heads."""
    return max(range(len(answers)), key=lambda i: len(answers[i][0]))


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
    prefix = "gradient/"
    gradients = {key[len(prefix) :]: arrays[key] for key in arrays.files if key.startswith(prefix)}
    return Folder(files, inputs, inputs[0] != info["padding"], answers, gradients)


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
    """A case is a folder. Gradients are slow to compile, so a usual run has a few of them."""
    return list(QUICK_GRADIENTS) if kind == GRADIENTS and not everything else names()


def compare(kind, name, results):
    """(largest error ratio of a folder, what has it)."""
    ratios = (compare_gradients if kind == GRADIENTS else compare_outputs)(read(name), results)
    worst = max(ratios, key=lambda place: rank(ratios[place]))
    return ratios[worst], worst


def compare_outputs(known, results):
    """{arguments of a model: error ratio}; all outputs of a model count together."""
    ratios = {}
    expected = {f"{i}/{j}" for i, (_, exact, _) in enumerate(known.answers) for j in range(len(exact))}
    if set(results) != expected:
        raise Red(f"outputs {sorted(results)}, expected {sorted(expected)}")
    for i, (arguments, exact, noise) in enumerate(known.answers):
        outputs = [results[f"{i}/{j}"] for j in range(len(exact))]
        if [one.shape for one in outputs] != [one.shape for one in exact]:
            raise Red(f"shapes {[one.shape for one in outputs]}, expected {[one.shape for one in exact]}")
        ratios[str(arguments)] = joint_ratio(outputs, exact, noise, known.seen)
    return ratios


def compare_gradients(known, results):
    """{block: error ratio}. All gradients of a block count together, because the models are tiny: of eight numbers,
    one rounding is easily four times another.

    A folder may lack the first part of our names, as that of a BertModel does.
    """
    expected = [name for name in known.gradients if "@" not in name]
    ours = {
        name: next((one for one in results if one == name or one.endswith("." + name)), None)
        for name in expected
    }
    missing = [name for name, one in ours.items() if one is None]
    unexpected = sorted(set(results) - set(ours.values()))
    if missing or unexpected:
        raise Red(f"gradients differ: missing {missing[:3]}, unexpected {unexpected[:3]}")
    wrong = [name for name, one in ours.items() if np.shape(results[one]) != np.shape(known.gradients[name])]
    if wrong:
        raise Red(f"the gradient of {wrong[0]} has shape {np.shape(results[ours[wrong[0]]])}")
    blocks = {}
    for name in expected:
        blocks.setdefault(BLOCK.match(name).group() or name.rsplit(".", 1)[0], []).append(name)
    ratios = {}
    for block, parameters in blocks.items():
        exact = [known.gradients[name] for name in parameters]
        difference = rms([results[ours[name]] - known.gradients[name] for name in parameters])
        noise = rms(
            [
                np.full(np.shape(known.gradients[name]), known.gradients[name + "@noise"])
                for name in parameters
            ]
        )
        ratios[block] = difference / max(noise, FLOOR * rms(exact), TINY)
    return ratios
