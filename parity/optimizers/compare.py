"""Judge the weights that an optimizer leaves, by the error ratio of each variable."""

import functools

import numpy as np

from parity.compare import Red
from parity.optimizers.cases import CASES, KEPT, SHAPES, worst_ratio
from parity.store import GOLDENS, read_arrays, read_json

# On Keras 2 our optimizers compute what the reference computes there, on Keras 3 both.
VERSIONS = {"keras2": ("v1",), "tf_keras": ("v2",), "keras3": ("v1", "v2")}
# Pairs of extensions in which the order matters.
QUICK_PAIRS = (
    "-weight-decay-in-piecewise-linear-lr",
    "-piecewise-linear-lr-in-weight-decay",
    "-gradient-accumulation-in-lazy-optimization",
    "-lookahead-in-weight-decay",
    "-lookahead-in-gradient-accumulation",
    "-exponential-moving-average-in-gradient-accumulation",
)


def expected_cases(kind, flavour, everything):
    """The cases of a flavour of Keras; without `everything` those of its newest version that are quick."""
    if everything:
        return [name for name, case in CASES.items() if case["version"] in VERSIONS[flavour]]
    return quick_cases(VERSIONS[flavour][-1:])


def quick_cases(versions):
    """Each extension by itself, and some pairs."""
    names = [name for name, case in CASES.items() if case["version"] in versions]
    pairs = [version + pair for version in versions for pair in QUICK_PAIRS]
    return [name for name in names if "-in-" not in name and not name.endswith("-pull") or name in pairs]


@functools.lru_cache(maxsize=None)
def read_golden(version):
    path = GOLDENS / (f"optimizers-{version}.npz")
    metadata = read_json(path.with_suffix(".json"))
    if metadata["cases"] != {name: case for name, case in CASES.items() if case["version"] == version}:
        raise Red("the golden is of other cases: run `nox -s golden`")
    return read_arrays(path), metadata


def golden_of(name):
    """{variable: float64 weights, "<variable>@noise": error of the float32 reference}"""
    arrays, metadata = read_golden(CASES[name]["version"])
    parts = len(KEPT) + ("exponential_moving_average" in CASES[name]["extensions"])
    sizes = [parts * int(np.prod(shape)) for shape in SHAPES.values()]
    values = np.split(arrays[name], np.cumsum(sizes))
    if len(values) != len(SHAPES) + 1 or len(values[-1]):
        raise Red(f"the golden has {len(arrays[name])} numbers, expected {sum(sizes)}")
    golden = dict(zip(SHAPES, values))
    golden.update((variable + "@noise", noise) for variable, noise in metadata["noise"][name].items())
    return golden


def compare(kind, name, weights):
    """(largest error ratio over the variables, that variable)"""
    if set(weights) != set(SHAPES):
        raise Red(f"variables are {sorted(weights)}, expected {sorted(SHAPES)}")
    return worst_ratio(golden_of(name), weights)
