"""Tables and figures of the documentation, made from rows, registries and the baseline.

A page holds them between markers: `<!-- table: NAME -->` … `<!-- end -->`, and in a line `<!-- value: NAME -->` …
`<!-- end -->`. NAME stands in TABLES, REGISTRIES or VALUES below. The picture of the matrix is a file, MATRIX.

    python -m reports docs               is every figure the one of its row?
    python -m reports docs --write       write the figures of the rows into the pages
    python -m reports docs --keep RUN    first keep a run of results/bench/ as rows of the studies "peers" and "systems"
"""

import argparse
import io
import json
import re
from collections.abc import Callable
from functools import cache
from itertools import zip_longest
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console

from bench.rows import MEASURED, Row, StudyRow, read_rows, read_study, write_study
from bench.scenarios import GENERATE, SYSTEM_SCENARIOS
from bench.studies import RESULTS
from pairings import BY_NAME, NIGHTLY, PAIRINGS, in_order
from parity.compare import Cell
from parity.kinds import KINDS_BY_NAME
from parity.models.cases import CASES
from parity.models.releases import SYSTEMS
from parity.store import ROOT, read_json
from reports import terminal
from reports.formatting import MISSING, number, significant
from reports.markdown import pipe_table
from reports.regress import BASELINE
from reports.results import Results
from reports.tables import ABSENT, cell_table, is_of_system, matrix, speed_table, system_table

PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
MATRIX = ROOT / "docs" / "static" / "parity.svg"
MARKED = re.compile(r"(<!-- (table|value): (\S+) -->)(.*?)(<!-- end -->)", re.DOTALL)

# Runs of `nox -s bench-peers` that tables show. Rows of one table column come from one run, which interleaves them.
ONE_TEXT, BATCH_AND_GENERATION = "20261127T143416Z-peers", "20261127T144552Z-peers"
XEON_MODELS, XEON_TRAIN_AND_LOAD = "20261127T000811Z-peers", "20261127T001827Z-peers"


class Column(NamedTuple):
    """One column of a table, or one figure of a text.

    Attributes:
        header: of the column.
        selects: {field of StudyRow: value, or values}; several of them stand in one cell, with a comma between.
        field: of the row that is shown.
        pattern: how a number is shown; None: with three significant digits.
        least: show the smallest number in place of a range.
    """

    header: str
    selects: tuple[dict[str, Any], ...]
    field: str = "value"
    pattern: str | None = None
    least: bool = False


# The pairings whose systems docs/speed.md shows.
SYSTEM_PAIRINGS = ("jax", "torch", "tensorflow", "openvino", "tfkeras-tf2.15", "keras2.3.1-tf1.15")


class Table(NamedTuple):
    """rows: (label, {field of StudyRow: value, or values})."""

    study: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, dict[str, Any]], ...]


def ratio(header: str, **selects: Any) -> Column:
    return Column(header, (selects,), "ratio", "%.2f")


def peers(header: str, *cases: str, run: str, metric: str | tuple[str, str] = "time") -> Column:
    return Column(header, tuple({"case": case, "metric": metric, "run": run} for case in cases))


ENCODER, DECODER = "bert-base-1x128", "gpt2-base-64-tokens"
MODES = tuple(f"{ENCODER} {mode}" for mode in ("predict", "call", "compiled"))
ALL_MODES = {"case": MODES, "run": ONE_TEXT}
PACKED = "`PACKED_LINEAR=1`"
USUAL = ("jax", "tensorflow", "torch")
LIBRARIES = {
    "transformers": "transformers 5.23, PyTorch",
    "onnxruntime": "ONNX Runtime, exported file",
    "openvino-export": "OpenVINO, exported file",
    "abandoned-port": "bert4keras3 1.6.6 (abandoned), Keras 3 on JAX",
    "reference": "bert4keras 0.11.5, TensorFlow 1.15",
    "reference-tf2.2": "bert4keras 0.11.5, TensorFlow 2.2",
}
BACKENDS = {
    "jax": "JAX",
    "tensorflow": "TensorFlow",
    "torch": "PyTorch",
    "torch-packed": f"PyTorch, {PACKED}",
    "openvino": "OpenVINO",
}
for _name, _backend in BACKENDS.items():
    LIBRARIES[f"bert4keras3-{_name}"] = f"bert4keras3, Keras 3 on {_backend}"
    LIBRARIES[f"keras-hub-{_name}"] = f"keras-hub 0.32, Keras 3 on {_backend}"
OURS = "bert4keras3-jax bert4keras3-tensorflow bert4keras3-torch"


def libraries(names: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    return tuple((LIBRARIES[name], {"candidate": name}) for name in names.split())


TABLES = {
    "one-text": Table(
        "peers",
        (
            peers("`predict`", MODES[0], run=ONE_TEXT),
            peers("call (ours with `compile_calls`)", MODES[1], run=ONE_TEXT),
            peers("compiled", MODES[2], run=ONE_TEXT),
            Column("error ratio", ({**ALL_MODES, "metric": "error ratio"},)),
            Column("× roofline", ({**ALL_MODES, "metric": "x roofline"},), pattern="%.2f", least=True),
        ),
        libraries(
            "bert4keras3-openvino openvino-export bert4keras3-torch-packed bert4keras3-tensorflow "
            "bert4keras3-torch bert4keras3-jax keras-hub-jax abandoned-port keras-hub-tensorflow onnxruntime "
            "transformers reference-tf2.2 reference keras-hub-torch"
        ),
    ),
    "generation": Table(
        "peers",
        tuple(
            peers(header, f"{scenario} generate", run=BATCH_AND_GENERATION, metric=("speed", "time"))
            for header, scenario in (
                ("GPT2-base", DECODER),
                ("T5-small", "t5-small-64-tokens"),
                ("UniLM, BERT-base", "unilm-base-64-tokens"),
            )
        ),
        libraries(f"{OURS} keras-hub-jax abandoned-port transformers reference"),
    ),
    "other-models": Table(
        "peers",
        (
            *(
                peers(header, f"{scenario} predict", f"{scenario} compiled", run=XEON_MODELS)
                for header, scenario in (
                    ("ALBERT-base", "albert-base-1x128"),
                    ("NEZHA-base", "nezha-base-1x128"),
                    ("RoFormer-base", "roformer-base-1x128"),
                    ("T5-base encoder", "t5-base-encoder-1x128"),
                )
            ),
            peers("training step", "bert-base-train-8x128 train", run=XEON_TRAIN_AND_LOAD),
            peers("load", "bert-base-load load", run=XEON_TRAIN_AND_LOAD),
        ),
        libraries(f"{OURS} bert4keras3-openvino transformers abandoned-port keras-hub-jax reference"),
    ),
    **{
        f"systems-{metric.replace(' ', '-')}": Table(
            "systems",
            tuple(Column(f"`{name}`", ({"candidate": name, "metric": metric},)) for name in SYSTEM_PAIRINGS),
            tuple((SYSTEMS[one.system].title, {"case": one.system}) for one in SYSTEM_SCENARIOS),
        )
        for metric in ("latency", "peak memory")
    },
    "quantization": Table(
        "quantization",
        (
            ratio("memory", case=ENCODER, metric="memory"),
            *(
                column
                for name, pairings in zip(
                    USUAL, ("jax", "tensorflow", ("torch", "torch-packed")), strict=True
                )
                for column in (
                    ratio(f"{BACKENDS[name]}: encoder time", case=ENCODER, metric="time", pairing=pairings),
                    ratio("generation speed", case=DECODER, metric="speed", pairing=pairings),
                )
            ),
        ),
        (
            ("bfloat16", {"candidate": "bfloat16", "pairing": USUAL}),
            (f"bfloat16, {PACKED}", {"candidate": "bfloat16", "pairing": "torch-packed"}),
            ("int8, weights alone", {"candidate": "int8 weights"}),
            ("int8", {"candidate": "int8"}),
        ),
    ),
    "recompute": Table(
        "recompute",
        tuple(ratio(metric, candidate="recomputed", metric=metric) for metric in ("memory", "time")),
        tuple(
            (BY_NAME[name].summary, {"pairing": name})
            for name in (*USUAL, "tfkeras-tf2.15", "keras2.3.1-tf2.2")
        ),
    ),
    "sharded-loading": Table(
        "sharded_loading",
        (
            Column("share, MB", ({"metric": "share"},), pattern="%.0f"),
            *(
                Column(header, ({"metric": metric},), pattern="%.2f")
                for header, metric in (
                    ("peak of loading", "loading"),
                    ("of it anonymous", "anonymous"),
                    ("after loading", "loaded"),
                    ("peak of saving", "saving"),
                    ("peak of loading, with framework", "with framework"),
                )
            ),
        ),
        tuple(
            (f"{form}, {processes}", {"candidate": form, "case": case})
            for case, processes in (("1 × 8 devices", "one process"), ("2 × 4 devices", "two processes"))
            for form in ("TensorFlow checkpoint", "safetensors", "sharded safetensors")
        ),
    ),
    "lora": Table(
        "lora",
        tuple(
            Column(header, ({"metric": metric, "pairing": "torch"},))
            for header, metric in (
                ("trained parameters, M", "trained"),
                ("state of the optimizer, MB", "state"),
                ("file, MB", "file"),
            )
        ),
        tuple((name, {"candidate": name}) for name in ("all weights", "attention", "all-linear")),
    ),
    "reviews": Table(
        "reviews",
        tuple(Column(BACKENDS[name], ({"metric": "tokens", "pairing": name},)) for name in USUAL),
        tuple(
            (name, {"candidate": name})
            for name in (
                "TextEncoder",
                "TextEncoder, bfloat16",
                "TextEncoder, int8",
                "predict, sorted",
                "predict, in order",
                "sentence-transformers",
                "roofline",
            )
        ),
    ),
    "corpus": Table(
        "corpus",
        tuple(
            Column(header, ({"metric": metric, "pairing": "torch"},), pattern=pattern)
            for header, metric, pattern in (
                ("real tokens/s", "speed", None),
                ("real tokens, %", "real tokens", "%.2f"),
                ("lowest cosine to float32", "lowest cosine", "%.4f"),
                ("test accuracy, %", "accuracy", "%.1f"),
            )
        ),
        tuple((name, {"candidate": name}) for name in ("float32", "bfloat16", "int8")),
    ),
    "serving": Table(
        "serving",
        tuple(
            Column(header, ({"metric": metric, "pairing": "torch"},))
            for header, metric in (("requests/s", "requests"), ("p50, s", "p50"), ("p95, s", "p95"))
        ),
        tuple((name, {"candidate": name}) for name in ("shared calls", "one by one")),
    ),
    "collectives": Table(
        "collectives",
        (
            *(
                Column(f"{data} × {model}, MB", ({"case": f"{data} x {model}", "metric": "sent"},))
                for data, model in ((8, 1), (4, 2), (2, 4), (1, 8))
            ),
            Column("counted ÷ formula", ({"metric": "sent"},), "ratio", "%.2f"),
        ),
        tuple((name, {"candidate": name}) for name in ("BERT", "RoFormerV2", "GPT2", "T5.1.1", "GAU-α")),
    ),
    "scale": Table(
        "collectives",
        tuple(
            Column(f"{name}: {header}", ({"candidate": name, "metric": metric},), field, pattern)
            for name in ("BERT-large", "T5.1.1-XL")
            for header, metric, field, pattern in (
                ("weights of a GPU, GB", "weights", "value", "%.2f"),
                ("sending, ms", "predicted", "value", None),
                ("÷ computing", "predicted", "ratio", "%.2f"),
            )
        ),
        tuple(
            (f"{data} × {model}", {"case": f"{data} x {model}"})
            for data, model in ((8, 1), (4, 2), (2, 4), (1, 8), (64, 1), (32, 2), (16, 4), (8, 8))
        ),
    ),
    "int8": Table(
        "accelerate",
        tuple(ratio(name, candidate=name, metric="time", pairing="torch") for name in ("FBGEMM", "oneDNN")),
        tuple((f"{rows} tokens", {"case": f"int8, {rows} rows"}) for rows in (64, 128, 1024, 4096)),
    ),
    "accelerate": Table(
        "accelerate",
        tuple(ratio(BACKENDS[name], candidate="plain", metric="time", pairing=name) for name in USUAL),
        tuple(
            (label, {"case": case})
            for label, case in (
                ("feed-forward layers, one token, float32", "dense, float32, 1 rows"),
                ("the same, bfloat16", "dense, bfloat16, 1 rows"),
                ("feed-forward layer, 128 tokens, float32", "dense, float32, 128 rows"),
                ("the same, bfloat16", "dense, bfloat16, 128 rows"),
                ("logits of one token, float32", "logits, float32, 1 rows"),
                ("the same, bfloat16", "logits, bfloat16, 1 rows"),
                ("attention of 128 tokens", "attention, 128 tokens"),
                ("layer normalization", "layer_norm, 128 rows"),
                ("GELU", "gelu"),
                ("dropout", "dropout, attention weights"),
                ("`predict` of 16 tokens by a small BERT", "predict of one batch"),
            )
        ),
    ),
}
EPYC = "2 cores of an AMD EPYC with AVX-512"
MATMUL = {"candidate": "matmul", "metric": "share", "machine": EPYC}
VALUES = {"predict-of-call": ("call_overhead", ratio("", candidate="predict"))} | {
    f"matmul-share-{name}": ("profile_forward", Column("", ({**MATMUL, "pairing": name},), pattern="%.0f"))
    for name in USUAL
}


def systems_table() -> str:
    """The systems with the pages of their releases."""
    rows = []
    for one in SYSTEMS.values():
        if one.page:
            owner, name, *_ = one.page.split("/")
            rows.append([one.title, f"[{owner}/{name}](https://github.com/{one.page})", one.build])
    return pipe_table(["system", "page", "`model=` and arguments"], rows)


def pairings_table() -> str:
    """The registry of pairings, with the largest error ratio of each in the baseline."""
    cells = read_json(BASELINE)["cells"]
    rows = []
    for one in in_order(PAIRINGS + tuple(one for one in NIGHTLY if not one.unpinned)):
        ratios = [cell["error_ratio"] for cell in cells.get(one.name, {}).values() if cell["error_ratio"]]
        rows.append([f"`{one.name}`", one.summary, one.python, number(max(ratios, default=None), "%.2f")])
    return pipe_table(["pairing", "what", "Python", "largest error ratio"], rows)


REGISTRIES: dict[str, Callable[[], str]] = {"systems": systems_table, "pairings": pairings_table}


def matrix_picture() -> str:
    """The matrix of the terminal as an SVG, from the verdicts of the baseline; lines without one are left out."""
    systems = {case.name: case.system for case in CASES} | {name: name for name in KINDS_BY_NAME}
    cells = [
        Cell(name, systems[name], pairing, **verdict)
        for pairing, verdicts in read_json(BASELINE)["cells"].items()
        for name, verdict in verdicts.items()
        if name in systems and pairing in {one.name for one in PAIRINGS}
    ]
    entries = matrix(cell_table(Results(cells, {}, [], [])))
    judged = entries[entries["status"] != ABSENT]
    entries = entries[entries["system"].isin(judged["system"]) & entries["pairing"].isin(judged["pairing"])]
    options: dict[str, Any] = dict(force_terminal=True, color_system="truecolor", _environ={})
    width = 30 + 10 * entries["pairing"].nunique()
    console = Console(record=True, width=width, file=io.StringIO(), **options)
    console.print(terminal.matrix_table(entries))
    return console.export_svg(title="bert4keras3: parity with bert4keras 0.11.5", unique_id="parity")


def run(options: argparse.Namespace, console: Console) -> int:
    """Check the pages, or write them. Returns: 1 if a figure of a page is not the one of its row."""
    if options.keep:
        keep_run(read_rows(options.keep))
    wrong = 0
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        new = rendered(text)
        if options.write:
            path.write_text(new, encoding="utf-8")
        else:
            for old_line, new_line in differences(text, new):
                wrong += 1
                where = f"[red]{path.relative_to(ROOT)}[/]: {old_line!r}, the rows say {new_line!r}"
                console.print(where, highlight=False, soft_wrap=True)
    picture = matrix_picture()
    if options.write:
        MATRIX.write_text(picture, encoding="utf-8")
    elif not MATRIX.exists() or MATRIX.read_text(encoding="utf-8") != picture:
        wrong += 1
        console.print(f"[red]{MATRIX.relative_to(ROOT)}[/]: the baseline has other verdicts", highlight=False)
    if wrong:
        console.print("`nox -s docs -- --write` writes the figures of the rows into the pages")
    return int(wrong > 0)


def rendered(text: str) -> str:
    """A page with the figures of the rows. Raises ValueError if a marker has no end or an unknown name."""
    if len(MARKED.findall(text)) != len(re.findall(r"<!-- (?:table|value):", text)):
        raise ValueError("a marker of a table or a value has no <!-- end -->")

    def replace(match: re.Match) -> str:
        begin, kind, name, _, end = match.groups()
        known = {**TABLES, **REGISTRIES} if kind == "table" else VALUES
        if name not in known:
            raise ValueError(f"no {kind} is named {name}; there are {', '.join(known)}")
        return begin + (f"\n\n{table(name)}\n\n" if kind == "table" else value(name)) + end

    return MARKED.sub(replace, text)


def differences(old: str, new: str) -> list[tuple[str, str]]:
    """The marked parts that differ, line by line."""
    found = []
    for before, after in zip(MARKED.findall(old), MARKED.findall(new), strict=True):
        lines = [part[3].strip().splitlines() for part in (before, after)]
        found += [pair for pair in zip_longest(*lines, fillvalue="") if pair[0] != pair[1]]
    return found


def table(name: str) -> str:
    if name in REGISTRIES:
        return REGISTRIES[name]()
    one = TABLES[name]
    rows = study(one.study)
    lines = [[label, *(cell(column, rows, selects) for column in one.columns)] for label, selects in one.rows]
    return pipe_table(
        ["library" if one.study == "peers" else "", *(column.header for column in one.columns)], lines
    )


def value(name: str) -> str:
    """Raises: ValueError: no row has this figure."""
    study_name, column = VALUES[name]
    text = cell(column, study(study_name), {})
    if text == MISSING:
        raise ValueError(f"value {name}: bench/results/{study_name}.jsonl has no such row")
    return text


@cache
def study(name: str) -> list[StudyRow]:
    return read_study(RESULTS / f"{name}.jsonl")


def cell(column: Column, rows: list[StudyRow], selects: dict[str, Any]) -> str:
    texts = []
    for both in column.selects:
        wanted = [
            (name, one if isinstance(one, tuple) else (one,))
            for name, one in [*both.items(), *selects.items()]
        ]
        texts.append(
            figure(column, [row for row in rows if all(getattr(row, name) in one for name, one in wanted)])
        )
    return MISSING if set(texts) == {MISSING} else ", ".join(texts)


def figure(column: Column, rows: list[StudyRow]) -> str:
    """One number, the range of several, or why there is none."""
    if len({row.run for row in rows}) > 1:
        raise ValueError(f"{rows[0].case}: rows of several runs stand in one cell")
    speeds = [row for row in rows if row.metric == "speed"]
    values = [getattr(row, column.field) for row in speeds or rows]
    found = sorted(one for one in values if one is not None)
    if not found:
        statuses = {row.status for row in rows} & {"wrong", "failed"}
        return ", ".join(sorted(statuses)) or MISSING
    texts = [number(one, column.pattern) if column.pattern else significant(one) for one in found]
    return texts[0] if column.least or texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def keep_run(rows: list[Row]) -> None:
    """Keep the figures of a run of the bench: of systems as rows of the study "systems", of others of "peers"."""
    usual, systems = [row for row in rows if not is_of_system(row)], system_table(rows)
    if usual:
        write_study(RESULTS / "peers.jsonl", peers_rows(usual))
    if len(systems):
        write_study(RESULTS / "systems.jsonl", system_rows(systems))
    study.cache_clear()


def system_rows(systems: pd.DataFrame) -> list[StudyRow]:
    """A newer measurement on the same machine takes the place of an older one, whatever its run."""
    kept: list[StudyRow] = []
    for one in systems.to_dict("records"):
        settings = json.loads(one["settings"])
        machine = f"{settings['cores']} cores of {settings['processor']}" if settings else None
        common: dict[str, Any] = dict(
            machine=machine, versions=settings.get("versions", {}), commit=one["commit"]
        )
        if one["status"] != MEASURED:
            reason: dict[str, Any] = dict(status=one["status"], note=one["reason"])
            kept.append(
                StudyRow("systems", one["system"], one["pairing"], "latency", None, "ms", **reason, **common)
            )
            continue
        for metric, (name, scale, unit) in SYSTEM_METRICS.items():
            value = float(f"{one[name] * scale:.4g}")
            kept.append(StudyRow("systems", one["system"], one["pairing"], metric, value, unit, **common))
    return kept


def peers_rows(rows: list[Row]) -> list[StudyRow]:
    settings = {(row.implementation, row.scenario, row.mode): row.settings for row in rows}
    known = next(one for one in settings.values() if one)
    machine = f"{known['cores']} cores of {known['processor']}"
    kept: list[StudyRow] = []
    for one in speed_table(rows).to_dict("records"):
        versions = settings[one["implementation"], one["scenario"], one["mode"]].get("versions", {})
        common: dict[str, Any] = dict(
            machine=machine, versions=versions, run=one["run"], commit=one["commit"]
        )
        case, candidate = f"{one['scenario']} {one['mode']}", one["implementation"]
        if one["status"] != MEASURED:
            reason: dict[str, Any] = dict(status=one["status"], note=one["reason"])
            kept.append(StudyRow("peers", case, candidate, "time", None, "ms", **reason, **common))
        for metric, (name, scale, unit) in METRICS.items():
            if not pd.isna(one[name]) and (metric != "speed" or one["mode"] == GENERATE):
                figure_of = float(one[name]) * scale
                kept.append(StudyRow("peers", case, candidate, metric, figure_of, unit, **common))
    return kept


# Metric of the study "systems" → column of the table of systems, factor, unit.
SYSTEM_METRICS = {
    "error ratio": ("error_ratio", 1, ""),
    "load": ("load_seconds", 1, "s"),
    "first call": ("first_call_seconds", 1, "s"),
    "latency": ("p50", 1e3, "ms"),
    "peak memory": ("memory_bytes", 1e-6, "MB"),
}
# Metric of the study → column of the speed table, factor, unit.
METRICS = {
    "time": ("p50", 1e3, "ms"),
    "time p95": ("p95", 1e3, "ms"),
    "speed": ("items_per_second", 1, "tokens/s"),
    "x roofline": ("times_roofline", 1, ""),
    "error ratio": ("error_ratio", 1, ""),
    "peak memory": ("peak_rss_bytes", 1e-6, "MB"),
    "load": ("load_seconds", 1, "s"),
    "first call": ("first_call_seconds", 1, "s"),
    "compilations": ("compilations", 1, ""),
}
