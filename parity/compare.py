"""Judge records against goldens, with NumPy alone.

The verdict is the error ratio: rms(record − float64 golden) ÷ rms(float32 golden − float64 golden), so 1 is as
accurate as the reference. Whatever was not compared is red: a missing record, a NaN, a checksum that is off.
"""

import argparse
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np

from parity.cases import Case, add_case_arguments, chosen_cases
from parity.files import checkpoint_folder, golden_folder, read_arrays, read_json, record_folder, sha256
from parity.sampling import judged, rms, sample_output

BOUND = 3.0
# The least error that is granted: half a unit in the last place of float32, that of storing the number.
FLOOR = 2.0**-24
TINY = np.finfo("float32").tiny
GRADIENT = "training/gradient/"
LOSSES = "training/losses"


class Cell(NamedTuple):
    """One case in one pairing. red: why it is red, None where it is green. Seconds and bytes as recorded.

    layer_ratios: {layer: error ratio} in the order of computation. commit, recorded, provenance: of the record.
    """

    case: str
    system: str
    pairing: str
    red: Optional[str] = None
    error_ratio: Optional[float] = None
    worst_layer: Optional[str] = None
    worst_layer_ratio: Optional[float] = None
    first_wrong_layer: Optional[str] = None
    first_wrong_alone: Optional[str] = None
    gradient_ratio: Optional[float] = None
    worst_gradient: Optional[str] = None
    losses_ratio: Optional[float] = None
    load_seconds: Optional[float] = None
    latency_seconds: Optional[float] = None
    peak_memory_bytes: Optional[int] = None
    layer_ratios: Dict[str, float] = {}
    commit: Optional[str] = None
    recorded: Optional[str] = None
    provenance: Dict[str, Any] = {}


# What a cell takes from the facts of its record as it stands there.
RECORDED = ("load_seconds", "latency_seconds", "peak_memory_bytes", "commit", "recorded", "provenance")


class Red(Exception):
    """A reason why a cell cannot be green."""


def compare_case(case: Case, pairing: str, goldens=None, records=None) -> Cell:
    """Judge one case: files in, verdict out; never raises. goldens, records: folders, where not the usual ones."""
    cell = Cell(case.name, case.system, pairing)
    records = records or record_folder(case, pairing)
    try:
        golden, story = read_golden(case, goldens or golden_folder(case))
        record, facts = read_record(case, records, story)
        cell = cell._replace(**{name: facts[name] for name in RECORDED if name in facts})
        if not facts["trained"]:
            golden = {name: value for name, value in golden.items() if not name.startswith("training/")}
        return judge(cell, golden, story, record, read_alone(case, records))
    except Red as reason:
        return cell._replace(red=str(reason))
    except Exception as error:  # a damaged file is a red cell like any other
        return cell._replace(red="not compared: %s: %s" % (type(error).__name__, error))


def read_golden(case, folder):
    path = folder / (case.name + ".npz")
    if not path.exists():
        raise Red("no golden: run `nox -s golden`")
    story = read_json(path.with_suffix(".json"))
    if sha256(path) != story["sha256"]:
        raise Red("golden %s does not have the checksum in its .json" % path.name)
    for name, checksum in story["checkpoint"].items():
        file = checkpoint_folder(case.checkpoint) / name
        if not file.exists() or sha256(file) != checksum:
            raise Red("%s is not the file that the golden was made from" % file)
    return read_arrays(path), story


def read_record(case, folder, story):
    facts_path = folder / (case.name + ".json")
    if not facts_path.exists():
        raise Red("no record")
    facts = read_json(facts_path)
    if facts["status"] != "recorded":
        raise Red(facts["reason"])
    if facts["golden"] != story["sha256"]:
        raise Red("the record was made for another golden: run the pairing again")
    if facts.get("random_weights") != story.get("random_weights"):
        raise Red("the random weights are not those that the golden was made from")
    return read_arrays(folder / (case.name + ".npz")), facts


def read_alone(case, folder):
    """What each layer computed from the reference's input; empty where nobody has asked (see alone.py)."""
    path = folder / (case.name + ".alone.npz")
    return read_arrays(path) if path.exists() else {}


def judge(
    cell: Cell,
    golden: Dict[str, np.ndarray],
    story: dict,
    record: Dict[str, np.ndarray],
    alone: Optional[Dict[str, np.ndarray]] = None,
) -> Cell:
    """The verdict on arrays; the names of both sides have to be the same.

    alone: outputs of the layers on the reference's input, which tell a wrong layer from one that amplifies.
    """
    layers = story["layers"]
    expected = {name.split("@")[0] for name in golden}
    found = {name for name in record if layers or "/layer/" not in name}
    if expected != found:
        missing, unexpected = sorted(expected - found), sorted(found - expected)
        raise Red("names differ: missing %s, unexpected %s" % (missing[:3], unexpected[:3]))
    if not story["shapes"]:
        raise Red("nothing to compare")
    for name in sorted(expected):
        if "/input/" in name and not np.array_equal(golden[name], record[name]):
            raise Red("%s: not the input that the golden was computed from" % name)

    check_outputs(story, record)
    outputs = sorted({name.split("/", 1)[1] for name in story["shapes"]})
    ratio = max((error_ratio(golden, story, record, output) for output in outputs), key=rank)
    cell = cell._replace(error_ratio=ratio)
    if layers:
        ratios = layer_ratios(golden, story, record)
        worst = max(layers, key=lambda layer: rank(ratios[layer]))
        cell = cell._replace(
            layer_ratios=ratios,
            worst_layer=worst,
            worst_layer_ratio=ratios[worst],
            first_wrong_layer=first_wrong(ratios),
        )
    cell = judge_training(cell, golden, record)
    if not ratio <= BOUND:
        cell = explain(cell, ratio, layer_ratios(golden, story, alone or {}))
    return cell


def judge_training(cell: Cell, golden: Dict[str, np.ndarray], record: Dict[str, np.ndarray]) -> Cell:
    """The verdict on gradients, variable by variable, and on the losses of some steps.

    A few numbers tell the reference's noise badly: of the 8 of a gamma it was once a third of what the same gamma of
    the next layer has. So the noise of a gradient counts as at least the usual one of the case, relative to its
    size. What is zero but for rounding, as the gradient of a key's bias, is rounded like the rest of its layer.
    """
    gradients = [name for name in golden if name.startswith(GRADIENT) and "@" not in name]
    if not gradients:
        return cell
    sizes = {name: rms([golden[name]]) for name in gradients}
    usual = np.median([rms([golden[name + "@noise"]]) / max(sizes[name], TINY) for name in gradients])
    layers: Dict[str, float] = {}
    for name in gradients:
        layer = name.rsplit("/", 1)[0]
        layers[layer] = max(layers.get(layer, 0.0), sizes[name])
    ratios = {}
    for name in gradients:
        least = max(usual * sizes[name], FLOOR * layers[name.rsplit("/", 1)[0]])
        ratios[name[len(GRADIENT) :]] = training_ratio(golden, record, name, least)
    worst = max(ratios, key=lambda name: rank(ratios[name]))
    losses = training_ratio(golden, record, LOSSES, FLOOR * rms([golden[LOSSES]]))
    cell = cell._replace(gradient_ratio=ratios[worst], worst_gradient=worst, losses_ratio=losses)
    if not ratios[worst] <= BOUND:
        return cell._replace(red="gradient of %s: error ratio %.3g" % (worst, ratios[worst]))
    if not losses <= BOUND:
        return cell._replace(red="losses while training: error ratio %.3g" % losses)
    return cell


def training_ratio(golden, record, name, least):
    """Error ratio of one array; least: the noise that is granted at least."""
    if record[name].shape != golden[name].shape:
        return np.nan
    error = rms([record[name] - golden[name]])
    return error / max(rms([golden[name + "@noise"]]), least, TINY)


def layer_ratios(golden, story, arrays):
    """{layer: error ratio} of the layers that are in arrays, in the order of computation."""
    found = {name.split("/layer/")[1] for name in arrays if "/layer/" in name}
    return {
        layer: error_ratio(golden, story, arrays, "layer/" + layer)
        for layer in story["layers"]
        if layer in found
    }


def first_wrong(ratios: Dict[str, float]) -> Optional[str]:
    return next((layer for layer, ratio in ratios.items() if not ratio <= BOUND), None)


def explain(cell: Cell, ratio: float, alone: Dict[str, float]) -> Cell:
    """Say which layer shows the error first, and which is wrong even on the reference's input."""
    if not cell.first_wrong_layer:
        return cell._replace(red="error ratio %.3g, in no layer alone" % ratio)
    red = "error ratio %.3g, first in layer %s" % (ratio, cell.first_wrong_layer)
    culprit = first_wrong(alone)
    if culprit is not None and culprit == cell.first_wrong_layer:
        red += ", which is wrong on the reference's input too (%.3g)" % alone[culprit]
    elif cell.first_wrong_layer in alone:
        red += ", which only amplifies what comes in (alone %.3g)" % alone[cell.first_wrong_layer]
        red += "; wrong is %s (alone %.3g)" % (culprit, alone[culprit]) if culprit else ""
    return cell._replace(red=red, first_wrong_alone=culprit)


def rank(ratio):
    """Order of ratios in which a NaN is the worst."""
    return np.inf if np.isnan(ratio) else ratio


def check_outputs(story, record):
    """Shapes as expected, and finite everywhere, padding too."""
    for name, shape in story["shapes"].items():
        value = record[name]
        if list(value.shape) != shape:
            raise Red("%s has shape %s, expected %s" % (name, list(value.shape), shape))
        if not np.isfinite(value).all():
            raise Red("%s is not finite in %d of %d places" % (name, (~np.isfinite(value)).sum(), value.size))


def error_ratio(golden, story, record, what):
    """Error ratio of "output/<i>" or "layer/<name>" over all lengths together; NaN where shapes differ."""
    errors, noises, sizes = [], [], []
    for name in (name for name in golden if name.endswith("/" + what)):
        value = record[name]
        if what.startswith("output/"):
            value = sample_output(value, golden["%s/input/%d" % (name.split("/")[0], story["token_input"])])
        if value.shape != golden[name].shape:
            return np.nan
        is_probability = name in story["distributions"]
        double = judged(golden[name], is_probability)
        errors.append(judged(value, is_probability) - double)
        noises.append(golden[name + "@noise"])
        sizes.append(double)
    return rms(errors) / max(rms(noises), FLOOR * rms(sizes), TINY)


def main() -> None:
    """Print the names of the cases whose layers are worth running alone (see alone.py)."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pairing", required=True)
    add_case_arguments(parser)
    options = parser.parse_args()
    cells: List[Cell] = [compare_case(case, options.pairing) for case in chosen_cases(options)]
    print("\n".join(cell.case for cell in cells if cell.red and cell.first_wrong_layer))


if __name__ == "__main__":
    main()
