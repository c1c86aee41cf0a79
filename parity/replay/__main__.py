"""Leave a replay of each red case, and say what its difference looks like.

    python -m parity.replay --pairing jax --case bert-mlm        inside the pairing

`results/replay/<pairing>/<case>/` has the replay; `<case>.replay.json` beside the record has the explanation.
"""

import argparse
import time

from pairings import find
from parity.adapter import open_library
from parity.models.cases import add_case_arguments, chosen_cases
from parity.models.compare import compare_case
from parity.replay.case import replay_case
from parity.store import record_folder, replay_folder, write_json

SECONDS = 900  # of the processor, for all red cases; one takes some ten


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairing", required=True)
    add_case_arguments(parser)
    options = parser.parse_args()
    cases = [(case, compare_case(case, options.pairing)) for case in chosen_cases(options)]
    red = [(case, cell) for case, cell in cases if cell.red]
    library = open_library(find(options.pairing).library) if red else None
    end = time.process_time() + SECONDS
    for case, cell in red:
        folder = replay_folder(options.pairing) / case.name
        try:
            if time.process_time() > end:
                raise TimeoutError(f"all replays took {SECONDS} s; run this case alone")
            found = replay_case(library, case, cell, folder)._asdict()
        except Exception as error:  # noqa: BLE001 a case without a replay costs only itself
            found = {"explanation": None, "replay": f"no replay: {type(error).__name__}: {error}"}
        write_json(record_folder(case, options.pairing) / (case.name + ".replay.json"), found)
        print(f"{options.pairing} {case.name}: {found['replay']}", flush=True)


if __name__ == "__main__":
    main()
