"""Made-up results to test reports with; none of these numbers was measured, and none is shown to anybody."""

from functools import cache

import numpy as np

from bench.rows import ABSENT, FAILED, MEASURED, WRONG, Row
from bench.scenarios import SYSTEM_SCENARIOS, YARDSTICK
from pairings import PAIRINGS
from parity.compare import Cell
from parity.models.cases import CASES
from reports.results import Results

ABSENT_PAIRING = "tfkeras-tf2.2"
LAYERS = [f"Transformer-{i}-{part}" for i in range(4) for part in ("MultiHeadSelfAttention", "FeedForward")]
WRONG_SECONDS = 0.0071234567  # must stand in no report
EXPLANATION = "consistent with a made-up fault: explains 99.5 % of the difference"
PROVENANCE = {
    "versions": {"bert4keras3": "2.0.0.dev0", "made-up": "1.0"},
    "python": "3.11.7",
    "platform": "Linux-6.1-x86_64",
    "processor": "Made-up processor",
}
SETTINGS = {"threads": 2, "processor": "Made-up processor", "versions": {"made-up": "1.0"}}


def sample_cell(case, pairing, random):
    ratios = {layer: float(0.7 * 1.08**i * random.uniform(0.9, 1.1)) for i, layer in enumerate(LAYERS)}
    ratio = float(random.uniform(0.7, 1.6))
    return Cell(
        case.name,
        case.system,
        pairing,
        error_ratio=ratio,
        worst_layer=LAYERS[-1],
        worst_layer_ratio=ratios[LAYERS[-1]],
        gradient_ratio=1.2,
        worst_gradient="Embedding-Token/0",
        losses_ratio=0.4,
        layer_ratios=ratios,
        commit="0123456789ab",
        recorded="2026-01-05T03:00:00Z",
        provenance=PROVENANCE,
    )


def red_cells(cells):
    """Red in every way that there is: judged so, NaN, empty."""
    first, second, third = cells[:3]
    wrong = {
        layer: ratio * (1 if i < 3 else 40) for i, (layer, ratio) in enumerate(first.layer_ratios.items())
    }
    return [
        first._replace(
            red="error ratio 41, first in layer <Transformer-1> & others",
            error_ratio=41.0,
            layer_ratios=wrong,
            explanation=EXPLANATION,
            replay="one layer on 4 tokens, in results/replay/made-up",
        ),
        second._replace(error_ratio=float("nan")),
        Cell(third.case, third.system, third.pairing),
        *cells[3:],
    ]


def sample_rows(started="2026-01-05T04:00:00+00:00", run="20260105T040000Z-peers", scale=1.0):
    random = np.random.default_rng(7)

    def row(implementation, scenario, mode, median, status=MEASURED, **more):
        seconds = list(median * scale * random.lognormal(0, 0.06, 40)) if status == MEASURED else []
        words = f"nox -s bench-peers -- --scenario {scenario} --implementation {implementation}"
        return Row(
            run, started, "0123456789ab", words, implementation, scenario, mode, "cpu", status,
            latency_seconds=seconds, roofline_seconds=0.031, settings=SETTINGS, **more,
        )  # fmt: skip

    measured = dict(load_seconds=0.8, first_call_seconds=1.9, error_ratio=0.9, bytes_per_call=120.0)
    rows = []
    for scenario in ("bert-base-1x128", "bert-base-8x128"):
        for mode in ("compiled", "predict"):
            rows += [
                row("bert4keras3-jax", scenario, mode, 0.052, peak_rss_bytes=10**9, compilations=5, **measured),
                row("bert4keras3-jax-control", scenario, mode, 0.0525, peak_rss_bytes=10**9, **measured),
                row("bert4keras3-torch", scenario, mode, 0.061, peak_rss_bytes=9 * 10**8, **measured),
                row("transformers", scenario, mode, 0.055, peak_rss_bytes=12 * 10**8, **measured),
                row("keras-hub-tensorflow", scenario, mode, 0.0, WRONG, reason="error ratio 231", error_ratio=231.0),
                row("abandoned-port", scenario, mode, 0.0, FAILED, reason="ValueError: an argument of that name"),
                row("reference", scenario, mode, 0.0, ABSENT, reason="no environment tf1.15, which needs Python 3.7"),
            ]  # fmt: skip
    # a row that says wrong and yet brings times along: they count for nothing
    cheat = rows[4]._replace(latency_seconds=[WRONG_SECONDS] * 40, first_call_seconds=WRONG_SECONDS)
    return [*rows[:4], cheat._replace(load_seconds=WRONG_SECONDS), *rows[5:]]


def sample_system_rows(scale=1.0, run="20260105T050000Z-jax"):
    """Every system in two pairings: one wrong although it brings times along, one absent, all others measured."""
    rows = []
    for i, scenario in enumerate(SYSTEM_SCENARIOS):
        for pairing, slower in (("jax", 1.0), ("torch", 1.5)):
            words = (
                f"nox -s bench-{pairing} -- --scenario {scenario.name} --implementation bert4keras3-{pairing}"
            )
            rows.append(
                Row(
                    run, "2026-01-05T05:00:00+00:00", "0123456789ab", words, f"bert4keras3-{pairing}", scenario.name,
                    "predict", "cpu", MEASURED, error_ratio=0.9, load_seconds=2.5 * scale,
                    first_call_seconds=1.25 * scale,
                    latency_seconds=[(0.1 + 0.01 * i) * scale * slower] * 5, framework_rss_bytes=3 * 10**8,
                    peak_rss_bytes=(8 + i) * 10**8, settings=SETTINGS,
                    roofline_seconds=0.05 * scale if scenario.system == YARDSTICK else None,
                )
            )  # fmt: skip
    cheat = rows[3]._replace(status=WRONG, reason="error ratio 231", error_ratio=231.0)
    cheat = cheat._replace(latency_seconds=[WRONG_SECONDS] * 5, load_seconds=WRONG_SECONDS)
    absent = rows[5]._replace(status=ABSENT, reason="no environment tf1.15", latency_seconds=[])
    return [*rows[:3], cheat, rows[4], absent, *rows[6:]]


@cache
def sample_results(red=True):
    random = np.random.default_rng(3)
    cells = []
    for pairing in PAIRINGS:
        found = [sample_cell(case, pairing.name, random) for case in CASES if not case.slow]
        cells += red_cells(found) if red and pairing.name == "torch" else found
    cells = [cell for cell in cells if cell.pairing != ABSENT_PAIRING]
    absent = {ABSENT_PAIRING: "not run: this machine lacks Python <3.8>"}
    return Results(cells, absent, sample_rows() + sample_system_rows(), [])
