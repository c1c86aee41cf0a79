"""Judge an implementation by the goldens of the parity run, in the Python that has its library.

    python -m bench.judge --implementation NAME [--case bert ...]

NAME is a row of bench.implementations, an entry point of an installed package, or module:Class. It needs NumPy and
google-crc32c. Exits with 1 if a case is red or nothing was judged. `nox -s parity-peers` runs this for all peers and
prints one table.
"""

import argparse
import functools
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

from bench.implementations import Unsupported, add_python_argument, implementation_named
from bench.implementations.adapter import adapter_class, loaded
from bench.scenarios import PREDICT, Scenario
from bench.weights import write_weights
from parity.machine import provenance
from parity.models.cases import add_case_arguments, case_words, chosen_cases
from parity.models.compare import compare_case, read_golden
from parity.record import golden_checksum, record_all
from parity.store import RESULTS, commit, golden_folder, read_json, write_arrays, write_json
from parity.subsample import sample_arrays

BUILDS = ("plain", "sentence_embedding")


def record_path(results, name, case):
    """Apart from the records of our pairings."""
    return results / "peers" / "records" / name / (case.name + ".json")


def not_asked(case):
    """Why no implementation is asked for a case, or None."""
    if case.slow:
        return "full size: the bench measures it"
    if case.build not in BUILDS or case.random_fill or case.gelu != "erf":
        return "it is built with layers or switches of bert4keras's own API"
    return None


def scenario_of(case, golden):
    """A case as the scenario that an implementation loads."""
    length = case.lengths[-1]
    batch, names = golden[f"{length}/input/0"].shape[0], ("Token", "Segment")
    count = sum(name.startswith(f"{length}/input/") for name in golden)
    return Scenario(
        case.name, case.checkpoint, case.arguments, batch, length, (PREDICT,), names[:count], build=case.build
    )


def compute(kind, case):
    """Arrays as in a record of a pairing; of the layers, those that the implementation gives."""
    golden, _ = read_golden(case, golden_folder(case))
    scenario, arrays = scenario_of(case, golden), {}
    with tempfile.TemporaryDirectory() as name:
        write_weights(scenario, kind(), Path(name))
        model = loaded(kind, scenario, Path(name))
        for length in case.lengths:
            count = sum(one.startswith(f"{length}/input/") for one in golden)
            inputs = [golden[f"{length}/input/{i}"] for i in range(count)]
            outputs, layers = model.outputs(list(inputs)), model.layers(list(inputs))
            for what, values in (("input", inputs), ("output", outputs)):
                arrays.update((f"{length}/{what}/{i}", np.asarray(value)) for i, value in enumerate(values))
            arrays.update((f"{length}/layer/{layer}", np.asarray(value)) for layer, value in layers.items())
    return sample_arrays(arrays)


def work(implementation, cases, results):
    """Record the cases one after the other in this process."""
    kind, sources = None, commit()
    for case in cases:
        path = record_path(results, implementation.name, case)
        info = {"case": case.name, "pairing": implementation.name, "golden": golden_checksum(case)}
        info.update(commit=sources, recorded=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        try:
            kind = kind or adapter_class(implementation.adapter)
            write_arrays(path.with_suffix(".npz"), compute(kind, case))
            info.update(status="recorded", trained=False, some_layers=True)
            info["provenance"] = provenance(implementation.adapter.split(":")[0].split(".")[0])
        except Unsupported as reason:
            info.update(status="unsupported", reason=str(reason))
        except Exception as error:
            info.update(status="failed", reason=f"{type(error).__name__}: {error}")
            info["traceback"] = traceback.format_exc()
        write_json(path, info)
        print(f"{implementation.name} {case.name}: {info.get('reason', 'recorded')}", flush=True)


def record(implementation, cases, results):
    """Record the cases anew, each in a process that the others survive."""
    command = [sys.executable, "-m", "bench.judge", "--worker", "--implementation", implementation.word]
    command += ["--results", str(results)]
    path_of = functools.partial(record_path, results, implementation.name)
    for case in cases:
        for path in (path_of(case), path_of(case).with_suffix(".npz")):
            if path.exists():
                path.unlink()
    record_all(cases, path_of, lambda left: command + case_words(left), implementation.name)


def verdicts(name, cases, results=RESULTS):
    """(cells of what an implementation computed, {case: why it computed nothing})."""
    cells, absent = [], {}
    for case in cases:
        path = record_path(results, name, case)
        reason = not_asked(case)
        if not reason and path.exists() and read_json(path)["status"] == "unsupported":
            reason = read_json(path)["reason"]
        if reason:
            absent[case.name] = reason
        else:
            cells.append(compare_case(case, name, records=path.parent))
    return cells, absent


def print_verdicts(name, cells, absent):
    """The table in plain text, for a Python that has nothing else; returns the exit status."""
    for cell in cells:
        ratio = "" if cell.error_ratio is None else f"{cell.error_ratio:.3g}"
        print(f"{cell.case:32}{ratio:>10}  {cell.red or 'green'}")
    for reason in dict.fromkeys(absent.values()):
        names = [case for case, other in absent.items() if other == reason]
        print(f"absent, {len(names)} cases: {reason}")
    red = sum(cell.red is not None for cell in cells)
    print(f"{name}: {len(cells) - red} of {len(cells)} cases green, {len(absent)} absent")
    return int(red > 0 or not cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--implementation", required=True)
    add_python_argument(parser)
    add_case_arguments(parser)
    parser.add_argument(
        "--record", action="store_true", help="leave the verdict to `python -m reports peers`"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    implementation = implementation_named(options.implementation)
    cases = [case for case in chosen_cases(options) if not not_asked(case)]
    if options.worker:
        return work(implementation, cases, options.results)
    if not cases:
        raise SystemExit(f"{implementation.name}: nothing to judge of what was asked for")
    record(implementation, cases, options.results)
    if options.record:
        return 0
    name = implementation.name
    return print_verdicts(name, *verdicts(name, chosen_cases(options), options.results))


if __name__ == "__main__":
    sys.exit(main())
