"""Judge packed outputs by the golden of the same case, which was computed without packing."""

from parity.compare import rank
from parity.models.cases import CASES_BY_NAME
from parity.models.compare import check_outputs, error_ratio, read_golden
from parity.packing.cases import NAMES
from parity.store import golden_folder


def expected_cases(kind, flavour, everything):
    """The cases of the systems that are packed."""
    return list(NAMES)


def compare(kind, name, results):
    """(largest error ratio of the outputs, the output that has it)."""
    golden, metadata = read_golden(CASES_BY_NAME[name], golden_folder(CASES_BY_NAME[name]))
    check_outputs(metadata, results)
    outputs = sorted({one.split("/", 1)[1] for one in metadata["shapes"]})
    ratios = {output: error_ratio(golden, metadata, results, output) for output in outputs}
    worst = max(ratios, key=lambda output: rank(ratios[output]))
    return ratios[worst], worst
