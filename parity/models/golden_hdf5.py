"""Weights that bert4keras 0.11.5 saved with `model.save_weights`: `goldens/hdf5/<case>.h5`, for the library's tests.

In the environment of the reference: `python -m parity.models.golden_hdf5`.
"""

from parity.adapter import open_library
from parity.models.build import build_case, case_weights, load_case
from parity.models.cases import CASES_BY_NAME
from parity.store import GOLDENS

HDF5 = GOLDENS / "hdf5"
# One for each way in which weights are ordered: heads, shared layers, fixed tables, gates, two stacks, scales.
NAMES = ("bert-nsp-mlm", "albert-heads", "nezha", "electra-discriminator", "t5", "gau-alpha")


def main():
    library = open_library("bert4keras")
    HDF5.mkdir(exist_ok=True)
    for name in NAMES:
        case = CASES_BY_NAME[name]
        transformer, model = build_case(library, case)
        load_case(transformer, case, case_weights(case))
        model.save_weights(str(HDF5 / (name + ".h5")))
        library.K.clear_session()


if __name__ == "__main__":
    main()
