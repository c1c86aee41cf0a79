"""What the library computes for the texts of a case if they share rows."""

import importlib

import numpy as np

from parity.adapter import listed
from parity.models.build import build_case, case_weights, load_case
from parity.models.cases import CASES_BY_NAME
from parity.models.compare import read_golden
from parity.store import golden_folder


def record(kind, library, flavour, name):
    """{"<length>/output/<number>": array, with zeros at padding}"""
    predict_packed = importlib.import_module(library.name + ".packing").predict_packed
    case, arrays = CASES_BY_NAME[name], {}
    golden, metadata = read_golden(case, golden_folder(case))
    transformer, _ = build_case(library, case)
    load_case(transformer, case, case_weights(case))
    rows, feeds = {}, ([], [])
    for length in case.lengths:
        tokens = golden[f"{length}/input/{metadata['token_input']}"]
        sizes = [int(np.flatnonzero(row).max(initial=0)) + 1 for row in tokens]
        rows[length] = range(len(feeds[0]), len(feeds[0]) + len(sizes)), tokens.shape
        for feed, values in zip(feeds, (tokens, golden.get(f"{length}/input/1", tokens * 0))):
            feed.extend(row[:size] for row, size in zip(values, sizes))
    results = [listed(one) for one in predict_packed(transformer, *feeds)]  # all lengths share rows
    for length, (places, shape) in rows.items():
        for j in range(len(results[0])):
            found = [results[i][j] for i in places]
            if found[0].ndim == 1:
                arrays[f"{length}/output/{j}"] = np.stack(found)
                continue
            padded = np.zeros(shape + found[0].shape[1:], found[0].dtype)
            for row, one in zip(padded, found):
                row[: len(one)] = one
            arrays[f"{length}/output/{j}"] = padded
    return arrays
