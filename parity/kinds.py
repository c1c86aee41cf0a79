"""What is proven beside the systems: layers, packing, folders of Hugging Face, LoRA, optimizers, generation, text.

Each kind has many small cases and is one cell of a pairing. Its folder has `record.py`, which runs inside the pairing
(`record(kind, library, flavour, case)`), and `compare.py`, which judges with NumPy only (`expected_cases`, `compare`).
"""

from __future__ import annotations

import importlib
import json
from typing import NamedTuple

import numpy as np

from pairings import find
from parity.compare import BOUND, RECORDED, Cell, Red, rank, read_record_info
from parity.packing.cases import NAMES as PACKED_CASES
from parity.store import GOLDENS, RECORDS, read_arrays, sha256

OPTIMIZER_GOLDENS = ("optimizers-v1.npz", "optimizers-v1.json", "optimizers-v2.npz", "optimizers-v2.json")


class Kind(NamedTuple):
    """One kind of proof.

    folder: of `parity/`. goldens: names of its files. needs: what a pairing may be unable to do, see
    `Pairing.limitations`. exact: results equal the golden, and there is no error ratio. bound: of the error ratio.
    """

    name: str
    folder: str
    goldens: tuple[str, ...]
    needs: str = ""
    exact: bool = False
    bound: float = BOUND
    slow: bool = True  # the recorder waits longer for a kind than for a case
    user_checkpoint: None = None

    def module(self, name):
        return importlib.import_module(f"parity.{self.folder}.{name}")


KINDS = (
    # The text comes first: `parallel_apply` forks, which the threads of a framework in use do not like.
    Kind("tokenizers", "text", ("tokenizers.json",), exact=True),
    Kind("snippets", "text", ("snippets.json", "snippet_scenarios.json"), exact=True),
    Kind("layers", "layers", ("layers.npz", "layers.json")),
    Kind("packing", "packing", tuple(f"{name}.npz" for name in PACKED_CASES), bound=2.0),
    Kind("hugging-face", "huggingface", ("huggingface.zip",)),
    Kind("hugging-face-gradients", "huggingface", ("huggingface.zip",), needs="training"),
    Kind("lora", "lora", ("lora.zip", "huggingface.zip"), needs="LoRA"),
    Kind("optimizers", "optimizers", OPTIMIZER_GOLDENS, needs="training"),
    Kind("generation", "generation", ("generation.json",), exact=True),
)
KINDS_BY_NAME = {kind.name: kind for kind in KINDS}


def chosen_kinds(options, pairing):
    """The kinds that a run judges: all of them, unless it is narrowed to some cases, or to a user's files.

    On a mesh and in several processes the models are judged alone: other kinds have nothing to split.
    """
    if options.weights or find(pairing).mesh or find(pairing).processes > 1:
        return []
    names = (options.case or []) + (options.system or [])
    able = [kind for kind in KINDS if kind.needs not in find(pairing).limitations]
    return [kind for kind in able if kind.name in names or not names]


def golden_checksums(kind):
    return {name: sha256(GOLDENS / name) for name in kind.goldens}


def record_kind(kind, library, pairing, everything):
    """(arrays "<case>/<name>", empty for an exact kind; results of an exact kind and reasons of failed cases)."""
    flavour, record = find(pairing).flavour, kind.module("record").record
    arrays, results, failed = {}, {}, {}
    for case in kind.module("compare").expected_cases(kind.name, flavour, everything):
        try:
            found = record(kind.name, library, flavour, case)
            if kind.exact:
                results[case] = json.loads(json.dumps(found))
            else:
                arrays.update((f"{case}/{name}", np.asarray(array)) for name, array in found.items())
        except Exception as error:
            failed[case] = f"{type(error).__name__}: {error}"
        if flavour != "keras3" and kind.folder != "text":
            library.K.clear_session()  # in one graph, each case would slow down the next
    return arrays, {"results": results, "failed": failed, "everything": everything}


def compare_kind(kind, pairing, records=None):
    """The cell of a kind: red if a case is, or if something was not compared; never raises. records: their folder."""
    cell = Cell(kind.name, kind.name, pairing)
    try:
        info, results = read_record(kind, records or RECORDS / pairing)
        cell = cell._replace(**{name: info[name] for name in RECORDED if name in info})
        flavour = find(pairing).flavour
        expected = kind.module("compare").expected_cases(kind.name, flavour, info["everything"])
        return judge(cell, kind, expected, results, info["failed"])
    except Red as reason:
        return cell._replace(red=str(reason))
    except Exception as error:  # a damaged file is a red cell like any other
        return cell._replace(red=f"not compared: {type(error).__name__}: {error}")


def read_record(kind, folder):
    info = read_record_info(folder / (kind.name + ".json"), golden_checksums(kind))
    if kind.exact:
        return info, info["results"]
    results = {}
    for name, array in read_arrays(folder / (kind.name + ".npz")).items():
        case, part = name.split("/", 1)
        results.setdefault(case, {})[part] = array
    return info, results


class Verdict(NamedTuple):
    """On one case of a kind. error_ratio: None if there is none. red: why it is red, None if it is green."""

    case: str
    error_ratio: float | None = None
    red: str | None = None


def verdict(kind, case, results):
    """The verdict on what was recorded for a case: the same in the table and in the library's tests."""
    try:
        ratio, place = kind.module("compare").compare(kind.name, case, results)
    except Red as reason:
        return Verdict(case, red=str(reason))
    red = None
    if not kind.exact and not ratio <= kind.bound:
        red = f"{place}: error ratio {ratio:.3g}, expected at most {kind.bound:g}"
    return Verdict(case, ratio, red)


def judge(cell, kind, expected, results, failed):
    """The verdict on a kind: how many cases are green, the worst error ratio, and the first red case."""
    unexpected = sorted(set(results) - set(expected))
    if unexpected or not expected:
        raise Red(f"nothing to compare with: unexpected cases {unexpected[:3]}")
    missing = {
        case: Verdict(case, red=failed.get(case, "no record")) for case in expected if case not in results
    }
    verdicts = [missing.get(case) or verdict(kind, case, results[case]) for case in expected]
    red = [one for one in verdicts if one.red]
    cell = cell._replace(judged=len(verdicts), green=len(verdicts) - len(red))
    ratios = {one.case: one.error_ratio for one in verdicts if one.error_ratio is not None}
    if ratios:
        worst = max(ratios, key=lambda case: rank(ratios[case]))
        cell = cell._replace(error_ratio=ratios[worst], layer_ratios=ratios)
        cell = cell._replace(worst_layer=worst, worst_layer_ratio=ratios[worst])
    if not red:
        return cell
    return cell._replace(red=f"{cell.green} of {cell.judged} green, first wrong: {red[0].case}: {red[0].red}")
