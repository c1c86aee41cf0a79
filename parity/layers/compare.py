"""Judge outputs of single layers and backend functions by their error ratio."""

import functools

import numpy as np

from parity.compare import FLOOR, TINY, Red, rank
from parity.layers.cases import CASES
from parity.store import GOLDENS, read_arrays, read_json
from parity.subsample import rms


@functools.lru_cache(maxsize=None)
def read_golden():
    """(metadata, inputs, {case: weights}, {case: float64 outputs}); each array lies end to end in the file."""
    metadata, arrays = read_json(GOLDENS / "layers.json"), read_arrays(GOLDENS / "layers.npz")
    inputs = {name[len("input/") :]: value for name, value in arrays.items() if name.startswith("input/")}

    def split(what):
        found, place = {}, 0
        for name in sorted(metadata["shapes"]):
            found[name] = []
            for text in metadata["shapes"][name][what]:
                shape = [int(size) for size in text.split()]
                size = int(np.prod(shape))
                found[name].append(arrays[what][place : place + size].reshape(shape))
                place += size
        if place != len(arrays[what]):
            raise Red(f"the golden has {len(arrays[what])} numbers of {what}, expected {place}")
        return found

    return metadata, inputs, split("weights"), split("outputs")


def expected_cases(kind, flavour, everything):
    if read_golden()[0]["cases"] != CASES:
        raise Red("the golden is of other cases: run `nox -s golden`")
    return sorted(CASES)


def compare(kind, name, outputs):
    """(largest error ratio of the outputs, that output). Raises Red if they cannot be compared."""
    metadata, _, _, goldens = read_golden()
    if sorted(outputs) != [str(i) for i in range(len(goldens[name]))]:
        raise Red(f"outputs are {sorted(outputs)}, expected {len(goldens[name])}")
    ratios = []
    for i, (golden, noise) in enumerate(zip(goldens[name], metadata["noise"][name])):
        output = np.asarray(outputs[str(i)])
        if output.shape != golden.shape:
            raise Red(f"output {i} has shape {list(output.shape)}, expected {list(golden.shape)}")
        finite = np.isfinite(golden)
        infinite = np.isinf(golden)  # the reference returns NaN for rows of nothing but padding
        if np.isnan(output).any() or (output[infinite] != golden[infinite]).any():
            raise Red(f"output {i} is NaN or infinite where the golden is not")
        if not finite.any():
            raise Red(f"output {i} has no finite golden to compare with")
        error = rms([output[finite].astype("float64") - golden[finite]])
        ratio = error / max(noise, FLOOR * rms([golden[finite]]), TINY)
        ratios.append((rank(ratio), f"output {i}"))
    return max(ratios)
