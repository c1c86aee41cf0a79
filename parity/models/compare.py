"""Judge the record of a case against its golden: outputs, layers, gradients and losses."""

from __future__ import annotations

import argparse

import numpy as np

from parity.compare import (
    BOUND,
    FLOOR,
    RECORDED,
    TINY,
    Cell,
    Red,
    rank,
    read_record_info,
    training_ratio,
)
from parity.models.cases import Case, add_case_arguments, chosen_cases
from parity.store import checkpoint_folder, golden_folder, read_arrays, read_json, record_folder, sha256
from parity.subsample import judged, rms, sample_output

GRADIENT = "training/gradient/"
LOSSES = "training/losses"


def compare_case(case: Case, pairing: str, goldens=None, records=None) -> Cell:
    """Judge one case: files in, verdict out; never raises. goldens, records: folders, where not the usual ones."""
    cell = Cell(case.name, case.system, pairing)
    records = records or record_folder(case, pairing)
    try:
        golden, metadata = read_golden(case, goldens or golden_folder(case))
        record, info = read_record(case, records, metadata)
        cell = cell._replace(**{name: info[name] for name in RECORDED if name in info})
        if not info["trained"]:
            golden = {name: value for name, value in golden.items() if not name.startswith("training/")}
        if info.get("some_layers"):
            golden, metadata = with_layers_of(record, golden, metadata)
        isolated = records / (case.name + ".isolated.npz")  # what `isolated_layers` wrote, if it has run
        cell = judge(cell, golden, metadata, record, read_arrays(isolated) if isolated.exists() else {})
    except Red as reason:
        cell = cell._replace(red=str(reason))
    except Exception as error:  # a damaged file is a red cell like any other
        return cell._replace(red=f"not compared: {type(error).__name__}: {error}")
    replayed = records / (case.name + ".replay.json")  # what `parity.replay` wrote, if it has run
    return cell._replace(**read_json(replayed)) if cell.red and replayed.exists() else cell


def read_golden(case, folder):
    path = folder / (case.name + ".npz")
    if not path.exists():
        raise Red("no golden: run `nox -s golden`")
    metadata = read_json(path.with_suffix(".json"))
    if sha256(path) != metadata["sha256"]:
        raise Red(f"golden {path.name} does not have the checksum in its .json")
    for name, checksum in metadata["checkpoint"].items():
        file = checkpoint_folder(case.checkpoint) / name
        if not file.exists() or sha256(file) != checksum:
            raise Red(f"{file} is not the file that the golden was made from")
    return read_arrays(path), metadata


def read_record(case, folder, metadata):
    info = read_record_info(folder / (case.name + ".json"), metadata["sha256"])
    if info.get("random_weights") != metadata.get("random_weights"):
        raise Red("the random weights are not those that the golden was made from")
    return read_arrays(folder / (case.name + ".npz")), info


def with_layers_of(record, golden, metadata):
    """(golden, metadata) with the layers that are in the record, of a library that names its layers in another way."""
    found = {name.split("/layer/")[1] for name in record if "/layer/" in name}
    kept = {
        name: value
        for name, value in golden.items()
        if "/layer/" not in name or name.split("/layer/")[1].split("@")[0] in found
    }
    return kept, dict(metadata, layers=[layer for layer in metadata["layers"] if layer in found])


def judge(
    cell: Cell,
    golden: dict[str, np.ndarray],
    metadata: dict,
    record: dict[str, np.ndarray],
    isolated: dict[str, np.ndarray] | None = None,
) -> Cell:
    """The verdict on arrays; the names of both sides have to be the same.

    isolated: outputs of the layers on the reference's input. A wrong layer is distinguished by them from a layer
        that only amplifies its input's error.
    """
    layers = metadata["layers"]
    expected = {name.split("@")[0] for name in golden}
    found = {name for name in record if layers or "/layer/" not in name}
    if expected != found:
        missing, unexpected = sorted(expected - found), sorted(found - expected)
        raise Red(f"names differ: missing {missing[:3]}, unexpected {unexpected[:3]}")
    if not metadata["shapes"]:
        raise Red("nothing to compare")
    for name in sorted(expected):
        if "/input/" in name and not np.array_equal(golden[name], record[name]):
            raise Red(f"{name}: not the input that the golden was computed from")

    check_outputs(metadata, record)
    outputs = sorted({name.split("/", 1)[1] for name in metadata["shapes"]})
    ratio = max((error_ratio(golden, metadata, record, output) for output in outputs), key=rank)
    cell = cell._replace(error_ratio=ratio)
    if layers:
        ratios = layer_ratios(golden, metadata, record)
        worst = max(layers, key=lambda layer: rank(ratios[layer]))
        cell = cell._replace(layer_ratios=ratios, worst_layer=worst, worst_layer_ratio=ratios[worst])
        cell = cell._replace(first_wrong_layer=first_wrong(ratios))
    cell = judge_training(cell, golden, record)
    if not ratio <= BOUND:
        cell = explain(cell, ratio, layer_ratios(golden, metadata, isolated or {}))
    return cell


def judge_training(cell: Cell, golden: dict[str, np.ndarray], record: dict[str, np.ndarray]) -> Cell:
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
    ratios = {}
    for name in gradients:
        layer = name.rsplit("/", 1)[0]
        largest = max(size for other, size in sizes.items() if other.rsplit("/", 1)[0] == layer)
        least = max(usual * sizes[name], FLOOR * largest)
        ratios[name[len(GRADIENT) :]] = training_ratio(golden, record, name, least)
    worst = max(ratios, key=lambda name: rank(ratios[name]))
    losses = training_ratio(golden, record, LOSSES, FLOOR * rms([golden[LOSSES]]))
    cell = cell._replace(gradient_ratio=ratios[worst], worst_gradient=worst, losses_ratio=losses)
    if not ratios[worst] <= BOUND:
        return cell._replace(red=f"gradient of {worst}: error ratio {ratios[worst]:.3g}")
    if not losses <= BOUND:
        return cell._replace(red=f"losses while training: error ratio {losses:.3g}")
    return cell


def layer_ratios(golden, metadata, arrays):
    """{layer: error ratio} of the layers that are in arrays, in the order of computation."""
    found = {name.split("/layer/")[1] for name in arrays if "/layer/" in name}
    return {
        layer: error_ratio(golden, metadata, arrays, "layer/" + layer)
        for layer in metadata["layers"]
        if layer in found
    }


def first_wrong(ratios: dict[str, float]) -> str | None:
    return next((layer for layer, ratio in ratios.items() if not ratio <= BOUND), None)


def explain(cell: Cell, ratio: float, isolated: dict[str, float]) -> Cell:
    """Say which layer shows the error first, and which is wrong even on the reference's input."""
    if not cell.layer_ratios:
        return cell._replace(red=f"error ratio {ratio:.3g}")
    if not cell.first_wrong_layer:
        return cell._replace(red=f"error ratio {ratio:.3g}, in no single layer")
    red = f"error ratio {ratio:.3g}, first in layer {cell.first_wrong_layer}"
    root_cause = first_wrong(isolated)
    if root_cause is not None and root_cause == cell.first_wrong_layer:
        red += f", which is wrong on the reference's input too ({isolated[root_cause]:.3g})"
    elif cell.first_wrong_layer in isolated:
        red += f", which only amplifies its input's error (isolated {isolated[cell.first_wrong_layer]:.3g})"
        red += f"; wrong is {root_cause} (isolated {isolated[root_cause]:.3g})" if root_cause else ""
    return cell._replace(red=red, root_cause_layer=root_cause)


def check_outputs(metadata, record):
    """Shapes as expected, and finite everywhere, padding too."""
    for name, shape in metadata["shapes"].items():
        value = record[name]
        if list(value.shape) != shape:
            raise Red(f"{name} has shape {list(value.shape)}, expected {shape}")
        if not np.isfinite(value).all():
            raise Red(f"{name} is not finite in {(~np.isfinite(value)).sum()} of {value.size} places")


def error_ratio(golden, metadata, record, what):
    """Error ratio of "output/<i>" or "layer/<name>" over all lengths together; NaN where shapes differ."""
    errors, noises, sizes = [], [], []
    for name in (name for name in golden if name.endswith("/" + what)):
        value = record[name]
        if what.startswith("output/"):
            value = sample_output(value, golden[f"{name.split('/')[0]}/input/{metadata['token_input']}"])
        if value.shape != golden[name].shape:
            return np.nan
        is_probability = name in metadata["distributions"]
        double = judged(golden[name], is_probability)
        errors.append(judged(value, is_probability) - double)
        noises.append(golden[name + "@noise"])
        sizes.append(double)
    return rms(errors) / max(rms(noises), FLOOR * rms(sizes), TINY)


def main() -> None:
    """Print the names of the red cases."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pairing", required=True)
    layers = "only those whose layers are worth running as isolated layers"
    parser.add_argument("--wrong-layers", action="store_true", help=layers)
    add_case_arguments(parser)
    options = parser.parse_args()
    cells: list[Cell] = [compare_case(case, options.pairing) for case in chosen_cases(options)]
    chosen = [cell for cell in cells if cell.red and (cell.first_wrong_layer or not options.wrong_layers)]
    print("\n".join(cell.case for cell in chosen))


if __name__ == "__main__":
    main()
