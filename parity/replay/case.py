"""From a red case to its replay: the wrong layer, what its difference looks like, and the smallest case that has it."""

from __future__ import annotations

import contextlib
import importlib
import io
import runpy
from itertools import islice
from typing import NamedTuple

import numpy as np

from pairings import find
from parity.compare import BOUND, FLOOR
from parity.models.build import case_weights
from parity.models.compare import GRADIENT, read_golden
from parity.models.variables import FAMILIES, release_variables
from parity.replay.diagnose import Diagnosis, Evidence, diagnose
from parity.replay.folder import SCRIPT, write_golden_replay, write_replay
from parity.replay.reduce import Small, everything, judge_gradient, output_number, reduce
from parity.replay.trace import trace
from parity.store import ROOT, golden_folder, read_json, release_paths
from parity.subsample import rms


class Replay(NamedTuple):
    """explanation: what the difference looks like, or None. replay: one sentence on the folder."""

    explanation: str | None
    replay: str


def replay_case(library, case, cell, folder) -> Replay:
    """Write the replay of a red case into a folder."""
    golden, metadata = read_golden(case, golden_folder(case))
    small, explanation, judged = whole(library, case, golden), None, None
    if cell.first_wrong_layer:
        traces = [
            trace(library, case, case_weights(case), inputs_of(golden, length)) for length in case.lengths
        ]
        library.K.clear_session()
        layer, diagnosis = find_fault(case, golden, cell, traces)
        small = small._replace(layer=layer)
        if diagnosis:
            explanation = diagnosis.explanation
            small, judged = reduce(library, small, diagnosis)
    elif cell.worst_gradient:
        small, judged = reduce_gradient(library, case, small, golden, folder)
    words = described(small, judged)
    if small.case.build != "plain" or (small.layer or "").split("#")[0] in case.random_fill:
        return Replay(explanation, f"no replay: {words} has inputs or weights that the script cannot make")
    try:
        if judged:
            write_replay(folder, small, judged, readme(cell, explanation, words))
        else:
            given, shape = given_to(traces[-1], small.layer) if small.layer else ({}, None)
            write_golden_replay(
                folder, small, given, shape, golden, metadata, readme(cell, explanation, words)
            )
    except ValueError as error:  # too large
        return Replay(explanation, f"no replay: {error}")
    return Replay(explanation, f"{words}, in {shown(folder)}")


def described(small, judged) -> str:
    """What a replay has, in words."""
    if not judged:
        return "the whole case"
    tokens = small.values[0].size
    what = "gradients of layer" if judged.direction else "layer"
    return f"{what} {small.layer} on {tokens} token{'s' * (tokens > 1)}"


def shown(folder):
    """A folder as the reports name it, relative to the checkout."""
    return folder.relative_to(ROOT) if ROOT in folder.parents else folder


def given_to(calls, layer):
    """(what the layers before this one computed of what it takes, shape of its own output)"""
    call, computed = calls[layer]
    return {name: calls[name][1] for name in call.sources if name in calls}, computed.shape


def reduce_gradient(library, case, small, golden, folder):
    """The last layer whose own gradients are wrong, in small: errors spread from there to the layers before it."""
    layers = dict.fromkeys(
        name[len(GRADIENT) :].rsplit("/", 1)[0]
        for name in golden
        if name.startswith(GRADIENT) and "@" not in name
    )
    start = f"{case.lengths[-1]}/layer/"
    order = [name[len(start) :] for name in golden if name.startswith(start) and "@" not in name]
    without_dropout = dict(case.arguments, dropout_rate=0, attention_dropout_rate=0)
    small = small._replace(case=case._replace(arguments=without_dropout))
    for layer in reversed([name for name in order if name in layers]):
        for smaller in islice(everything(small._replace(layer=layer)), 2):
            judged = judge_gradient(library, smaller)
            if judged is None:
                continue
            judged = judged._replace(noise=gradient_noise(golden, layer) * rms([judged.expected]))
            write_replay(folder, smaller, judged, "")
            if is_red(folder):
                return smaller, judged
    return small._replace(layer=None), None


def gradient_noise(golden, layer):
    """The reference's float32 noise in the gradients of a layer, relative to their size."""
    names = [name for name in golden if name.startswith(f"{GRADIENT}{layer}/") and "@" not in name]
    noises, sizes = [golden[name + "@noise"] for name in names], [golden[name] for name in names]
    return max(rms(noises) / rms(sizes), FLOOR)


def is_red(folder):
    """Whether the script of a replay says so, in this process."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(str(folder / SCRIPT.name))
    except SystemExit as end:
        return bool(end.code)
    return False


def inputs_of(golden, length):
    names = [name for name in golden if name.startswith(f"{length}/input/")]
    return [golden[name] for name in sorted(names, key=lambda name: int(name.rsplit("/", 1)[1]))]


def whole(library, case, golden) -> Small:
    """The case as it is, with all variables of its checkpoint in memory."""
    config = read_json(release_paths(case.checkpoint)[0])
    weights = case_weights(case)
    if isinstance(weights, str):
        weights = importlib.import_module(library.name + ".checkpoints").open_checkpoint(weights)
    names = list(weights)
    if case.checkpoint.family in FAMILIES:  # without the slots of optimizers
        variables = release_variables(case.checkpoint._replace(config=config, optimizer=""))
        names = [name for name, _ in variables if name in names]
    read = {name: weights[name] for name in names}  # random weights are made when they are read
    return Small(case, config, read, inputs_of(golden, case.lengths[-1]), "")


def find_fault(case, golden, cell, traces) -> tuple[str, Diagnosis | None]:
    """The first layer that is wrong in itself, and its diagnosis; None if no definition tells."""
    wrong = [layer for layer, ratio in cell.layer_ratios.items() if not ratio <= BOUND]
    for layer in wrong:
        first = layer == wrong[0]
        diagnosis = diagnose(evidence(layer, case, golden, traces), inputs_are_right=first)
        if diagnosis is None:
            continue
        if diagnosis.title if first and not diagnosis.described else diagnosis.error_ratio > BOUND:
            return layer, diagnosis
    return wrong[0], None


def evidence(layer, case, golden, traces) -> list[Evidence]:
    rows = []
    for length, calls in zip(case.lengths, traces):
        call, computed = calls[layer]
        names = list(calls)
        before = {name: calls[name][1] for name in names[: names.index(layer)]}
        before = {
            name: array.astype("float64") if array.dtype.kind == "f" else array
            for name, array in before.items()
        }
        name = f"{length}/layer/{layer}"
        noise = float(np.max(golden[name + "@noise"]))
        rows.append(Evidence(call, output_number(layer), computed, golden[name], noise, before))
    return rows


def readme(cell, explanation, what) -> str:
    """What is wrong, in words, and how to run it."""
    variables = "".join(f"{name}={value} " for name, value in find(cell.pairing).variables.items())
    return f"""# {cell.case} on {cell.pairing} is red

* {cell.red}.
* Fingerprint: {explanation or "no known fault explains the difference"}.

This folder has {what}:

* `config.json`, `case.json`, `weights.npz`: the model.
* `inputs.npz`: its inputs. `given.npz`: the right numbers, which stand in place of the layers before the wrong one.
* `right.npz`: the expected numbers, in float64.

The script needs NumPy, the framework and bert4keras3. It prints the error ratio, and exits with 1 while it is red:

    {variables}python replay.py
"""
