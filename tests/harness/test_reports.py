"""The reports: nothing wrong has a number, nothing absent is hidden, in any format."""

import json

import pandas as pd
import pytest
from junitparser import JUnitXml
from report_samples import (
    ABSENT_PAIRING,
    EXPLANATION,
    WRONG_SECONDS,
    red_cells,
    sample_results,
    sample_rows,
    sample_system_rows,
)
from rich.console import Console

from bench.rows import append_rows, read_rows
from pairings import PAIRINGS
from parity.compare import BOUND, Cell
from parity.store import append_lines, read_lines
from reports import __main__ as command_line
from reports import html, terminal
from reports.formatting import SYSTEM_FIGURES, interval, milliseconds, significant
from reports.history import lines_of, merge, remember
from reports.html import write_html
from reports.junit import write_junit
from reports.markdown import markdown
from reports.readme_chart import write_readme_chart
from reports.results import Results, read_results, why_red, write_cells
from reports.tables import cell_table, is_of_system, matrix, speed_table, system_table, write_tables

FORMATS = ("terminal", "html", "markdown", "junit", "csv", "parquet")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """{format: what a reader of it may see} of the made-up results."""
    folder, results = tmp_path_factory.mktemp("report"), sample_results()
    console = Console(width=250, record=True, file=open("/dev/null", "w"))
    cells = cell_table(results)
    console.print(terminal.matrix_table(matrix(cells)))
    for pairing in cells["pairing"].unique():
        found = [cell for cell in results.cells if cell.pairing == pairing]
        console.print(terminal.parity_table(pairing, found), terminal.summary(pairing, found))
    usual = [row for row in results.rows if not is_of_system(row)]
    console.print(*terminal.absent_lines(results.absent), *terminal.speed_tables(speed_table(usual)))
    console.print(*terminal.system_tables(system_table(results.rows)))
    write_html(results, folder / "report.html")
    write_junit(results, folder / "report.xml")
    write_tables(results, folder)
    tables = [folder / f"{name}.parquet" for name in ("cells", "speed", "systems")]
    page = (folder / "report.html").read_text() + json.dumps(html.page_data(results, cells))
    return {
        "terminal": console.export_text(),
        "html": page,
        "markdown": markdown(results),
        "junit": (folder / "report.xml").read_text(),
        "csv": "".join((folder / f"{name}.csv").read_text() for name in ("cells", "speed", "systems")),
        "parquet": "".join(pd.read_parquet(path).to_csv() for path in tables),
    }


def spellings(seconds):
    """The first digits of a time in seconds and in milliseconds."""
    return [f"{seconds:.4g}", milliseconds(seconds), f"{seconds * 1e3:.2f}"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_wrong_row_has_no_speed_and_its_reason(texts, name):
    shown = [text for text in spellings(WRONG_SECONDS) if text in texts[name]]
    assert not shown, f"{name} shows {shown}"
    assert "231" in texts[name] and "wrong" in texts[name], f"{name} does not say who was wrong"


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "terminal"])
def test_a_red_cell_says_what_its_difference_looks_like(texts, name):
    assert EXPLANATION in texts[name]
    assert "results/replay/made-up" in texts[name]


@pytest.mark.parametrize("name", FORMATS)
def test_an_absent_pairing_is_named(texts, name):
    assert ABSENT_PAIRING in texts[name] and "lacks Python" in texts[name]


@pytest.mark.parametrize("name", FORMATS)
def test_absent_and_failed_implementations_are_named(texts, name):
    assert "no environment tf1.15" in texts[name] and "an argument of that name" in texts[name]


def versions_results(folder):
    """A variant beside its pairing, red cells with the newest releases, and a pairing that nobody knows."""
    jax = [cell for cell in sample_results(red=False).cells if cell.pairing == "jax"]
    for name in ("jax", "jax+keras==3.12.0", "gone"):
        write_cells(folder, name, [cell._replace(pairing=name) for cell in jax])
    write_cells(folder, "jax-newest", red_cells([cell._replace(pairing="jax-newest") for cell in jax]))
    return read_results(folder)


def test_a_variant_has_its_column_beside_its_pairing(tmp_path):
    results = versions_results(tmp_path)
    names = [one.name for one in results.pairings]
    assert names[names.index("jax") + 1] == "jax+keras==3.12.0" and names.index("jax-newest") < names.index(
        "torch"
    )
    assert set(names) == {one.name for one in PAIRINGS} | {"jax+keras==3.12.0", "jax-newest"}
    header = next(line for line in markdown(results).splitlines() if line.startswith("| system"))
    assert "| jax | jax+keras==3.12.0 |" in header
    cells = cell_table(results)
    commands = cells[cells["pairing"] == "jax+keras==3.12.0"]["command"]
    assert all(text.startswith("nox -s parity-jax -- --with keras==3.12.0 --case ") for text in commands)


def test_red_with_the_newest_releases_is_told_apart(tmp_path):
    results = versions_results(tmp_path)
    status = cell_table(results)["status"].value_counts()
    assert (status.get("allowed"), status.get("red")) == (3, None)
    text = markdown(results)
    assert "Red, and why" not in text and "🔴" not in text
    assert text.count("🟡") and text.count("**jax-newest ") == 3 and "which is allowed" in text
    page = html.page(results)
    assert page["count"]["allowed"] == 3 and not page["red"]
    assert {group["pairing"] for group in page["allowed"]} == {"jax-newest"}
    write_html(results, tmp_path / "report.html")
    assert "3 red with the newest releases" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "junit"])
def test_systems_have_their_figures_and_reasons_in_every_format(texts, name):
    """The third system in jax: 130 ms, 2.5 s to load, 1.25 s for the first call, 700 MB above the framework."""
    raw = name in ("csv", "parquet")
    figures = ("0.12", "2.5", "1.25", "700000000") if raw else ("120", "2.5", "1.25", "700")
    for figure in figures:
        assert figure in texts[name], f"{name} lacks {figure}"


def test_the_table_of_systems_is_that_of_the_rows():
    rows = sample_results().rows
    control = sample_system_rows(9.0)[0]._replace(implementation="bert4keras3-jax-control")
    table = system_table([*rows, control]).set_index(["system", "pairing"])
    assert len(table) == 2 * 21 and set(table["yardstick_seconds"]) == {0.05}
    first = table.loc[("google_bert", "jax")]
    assert (first["p50"], first["memory_bytes"], first["load_seconds"]) == (0.1, 5 * 10**8, 2.5)
    wrong = table[table["status"] == "wrong"]
    assert len(wrong) == 1 and wrong[["p50", "load_seconds", "memory_bytes"]].isna().all(axis=None)


def test_a_row_of_a_gpu_has_its_own_column_and_the_memory_of_the_device():
    row = sample_system_rows()[0]._replace(implementation="bert4keras3-jax-cuda", device="gpu")
    (found,) = system_table([row._replace(peak_device_bytes=7 * 10**8)]).to_dict("records")
    assert (found["pairing"], found["memory_bytes"]) == ("jax-cuda gpu", 7 * 10**8)


def test_one_pairing_is_one_table_with_all_figures():
    rows = [row for row in sample_system_rows() if row.implementation.endswith("-jax")]
    (table,) = terminal.system_tables(system_table(rows))
    assert [column.header for column in table.columns] == ["system", *SYSTEM_FIGURES]
    assert len(terminal.system_tables(system_table(sample_system_rows()))) == len(SYSTEM_FIGURES)


def test_red_judged_nan_and_empty_are_red_everywhere(tmp_path):
    cells = red_cells([cell for cell in sample_results(red=False).cells if cell.pairing == "torch"])
    assert [bool(why_red(cell)) for cell in cells[:4]] == [True, True, True, False]
    write_cells(tmp_path, "torch", cells)
    results = read_results(tmp_path)
    table = cell_table(results)
    red = table[(table["pairing"] == "torch") & (table["status"] == "red")]
    assert list(red["case"]) == [cell.case for cell in cells[:3]]
    assert markdown(results).startswith("# bert4keras3") and "**3 red**" in markdown(results)
    write_junit(results, tmp_path / "report.xml")
    assert sum(suite.failures for suite in JUnitXml.fromfile(str(tmp_path / "report.xml"))) == 3
    assert "torch: 86 of 89 cases green" in terminal.summary("torch", results.cells)
    assert html.page(results)["count"]["red"] == 3


@pytest.mark.parametrize("name", ["error_ratio", "gradient_ratio", "losses_ratio"])
def test_a_ratio_above_the_bound_is_red_whatever_the_cell_says(name):
    cell = Cell("bert", "google_bert", "jax", error_ratio=1.0)
    assert why_red(cell) is None and why_red(cell._replace(**{name: BOUND * 1.01}))


def test_nothing_at_all_is_absent_and_not_green(tmp_path):
    results = read_results(tmp_path)
    assert set(cell_table(results)["status"]) == {"absent"}
    assert len(results.absent) == len(PAIRINGS) and "**0 green**" in markdown(results)


def test_cells_come_back_as_they_were_written(tmp_path):
    cells = [cell for cell in sample_results(red=False).cells if cell.pairing == "jax"]
    write_cells(tmp_path, "jax", cells)
    found = read_results(tmp_path).cells
    assert found == cells and list(found[0].layer_ratios) == list(cells[0].layer_ratios)


def test_speeds_of_the_table_are_those_of_the_rows():
    rows = sample_rows()
    table = speed_table(rows).set_index(["implementation", "scenario", "mode"])
    row = table.loc[("bert4keras3-torch", "bert-base-1x128", "compiled")]
    assert row["p50_low"] < row["p50"] < row["p50_high"] and row["p50"] < row["p95"]
    assert row["times_roofline"] == pytest.approx(row["p50"] / 0.031)
    fastest = table.loc[("bert4keras3-jax", "bert-base-1x128", "compiled")]
    assert (
        row["times_fastest"] == pytest.approx(row["p50"] / fastest["p50"]) and fastest["times_fastest"] == 1
    )


def test_a_newer_run_takes_the_place_of_an_older_row():
    old, new = sample_rows(), sample_rows("2026-01-06T04:00:00+00:00", "20260106T040000Z-peers", 2.0)
    assert set(speed_table(new + old)["run"]) == {"20260106T040000Z-peers"}


def test_every_row_names_command_commit_and_environment():
    results = sample_results(red=False)
    speed, cells = speed_table(results.rows), cell_table(results)
    judged = cells[cells["status"] == "green"]
    for table, names in (
        (speed, ("command", "commit", "settings")),
        (judged, ("command", "commit", "versions")),
    ):
        for name in names:
            assert table[name].astype(bool).all() and not table[name].isna().any(), name


def fill(folder, pairings, rows=()):
    everything = sample_results(red=False).cells
    for pairing in pairings:
        write_cells(folder, pairing, [cell for cell in everything if cell.pairing == pairing])
    for row in rows:
        append_rows(folder / "bench" / f"{row.run}.jsonl", [row])
    remember(folder, read_results(folder))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json*")}


def test_merge_is_idempotent_and_knows_no_order(tmp_path):
    fill(tmp_path / "a", ["jax"], sample_rows())
    fill(tmp_path / "b", ["torch", "jax"], sample_rows("2026-01-06T04:00:00+00:00", "other"))
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "first")
    merge([tmp_path / "b", tmp_path / "a"], tmp_path / "second")
    once = contents(tmp_path / "first")
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "first")
    assert contents(tmp_path / "first") == once == contents(tmp_path / "second")
    results = read_results(tmp_path / "first")
    assert {cell.pairing for cell in results.cells} == {"jax", "torch"}
    assert len(results.rows) == 2 * len(sample_rows())


def test_a_verdict_wins_over_a_reason_why_there_is_none(tmp_path):
    fill(tmp_path / "a", ["jax"])
    write_cells(tmp_path / "b", "jax", [])
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert read_results(tmp_path / "c").cells


def test_what_is_remembered_twice_is_kept_once(tmp_path):
    fill(tmp_path, ["jax"], sample_rows())
    results = read_results(tmp_path)
    assert len(results.history) == len(list(lines_of(results)))
    assert remember(tmp_path, results) == 0


def test_a_killed_writer_loses_its_last_line_alone(tmp_path):
    path = tmp_path / "history.jsonl"
    append_lines(path, [{"started": "1"}, {"started": "2"}], 1)
    path.write_bytes(path.read_bytes()[:-5])
    append_lines(path, [{"started": "3"}], 1)
    assert [line["started"] for line in read_lines(path, 1)] == ["1", "3"]


def test_a_row_of_a_newer_schema_names_file_and_line(tmp_path):
    path = tmp_path / "run.jsonl"
    append_lines(path, [sample_rows()[0]._asdict()], 99)
    with pytest.raises(ValueError, match=r"run.jsonl:1: line of schema 99"):
        read_rows(path)


def test_the_command_line_writes_every_format(tmp_path, capsys):
    fill(tmp_path, ["jax"], sample_rows())
    assert command_line.main(["all", "--results", str(tmp_path)]) == 0
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"report.html", "report.md", "report.xml", "cells.csv", "cells.parquet", "speed.csv"} <= names
    assert "report.html" in capsys.readouterr().out


def test_the_page_fetches_nothing(tmp_path):
    results = sample_results()
    write_html(results._replace(history=list(lines_of(results))), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    head = page.split('id="data"')[0]
    assert "default-src 'none'" in head  # the browser holds the page to it, scripts of the library too
    for word in ("http://", "https://", " src=", '<link rel="stylesheet', "@import", "url("):
        assert word not in head, word


def test_the_page_escapes_what_it_shows(tmp_path):
    write_html(sample_results(), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "&lt;Transformer-1&gt; &amp; others" in page and "<Transformer-1>" not in page


def test_an_empty_history_says_so(tmp_path):
    write_html(Results([], {}, [], []), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for words in ("nothing was measured", "nothing is remembered yet", "no system was measured"):
        assert words in page
    assert "no system was measured" in markdown(Results([], {}, [], []))
    assert not terminal.system_tables(system_table([]))


def test_the_picture_shows_what_is_right_and_nothing_else(tmp_path):
    writes = [
        row._replace(scenario="gpt2-base-64-tokens", mode="generate", items=64) for row in sample_rows()
    ]
    results = sample_results()._replace(rows=sample_rows() + writes)
    write_readme_chart(results, tmp_path / "speed.svg")
    text = (tmp_path / "speed.svg").read_text()
    shown = speed_table(results.rows)
    for implementation, rows in shown.groupby("implementation"):
        right = rows["p50"].notna().any() and not implementation.endswith("-control")
        assert (f">{implementation}<" in text) == right, implementation
    assert "tokens a second" in text
    assert not any(digits in text for digits in spellings(WRONG_SECONDS))


def test_without_a_right_row_there_is_no_picture(tmp_path):
    with pytest.raises(ValueError, match="no right row"):
        write_readme_chart(sample_results()._replace(rows=[]), tmp_path / "speed.svg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "seconds, text",
    [(1.4034, "1403"), (0.9996, "1000"), (0.0996, "99.6"), (0.09996, "100"), (1e-6, "0.001"), (None, "–")],
)
def test_milliseconds_have_no_exponent(seconds, text):
    assert milliseconds(seconds) == text


def test_what_is_missing_is_a_dash():
    assert significant(float("nan")) == interval(None, 1.0) == interval(0.5, float("nan")) == "–"
    assert interval(0.001, 1.4034, 1e3) == "1 to 1403"


@pytest.mark.parametrize(
    "red", [None, "114 of 115 green, first wrong: crf: output 0: error ratio 4, expected at most 3"]
)
def test_a_kind_shows_how_many_of_its_cases_are_green(tmp_path, red):
    green = 114 if red else 115
    layers = Cell(
        "layers",
        "layers",
        "jax",
        red=red,
        error_ratio=1.28,
        judged=115,
        green=green,
        layer_ratios={"crf": 1.28},
    )
    text = Cell("tokenizers", "tokenizers", "jax", judged=9, green=9)
    write_cells(tmp_path, "jax", [layers, text])
    results = read_results(tmp_path)
    assert results.cells == [layers, text] and why_red(text) is None and why_red(layers) == red
    console = Console(width=250, record=True, file=open("/dev/null", "w"))
    console.print(terminal.matrix_table(matrix(cell_table(results))), terminal.summary("jax", results.cells))
    write_html(results, tmp_path / "report.html")
    write_junit(results, tmp_path / "report.xml")
    page = (tmp_path / "report.html").read_text() + json.dumps(html.page_data(results, cell_table(results)))
    for shown in (console.export_text(), markdown(results), page):
        assert f"{green} of 115" in shown and "9 of 9" in shown
    for shown in (markdown(results), page, (tmp_path / "report.xml").read_text()):
        assert (red is None) == ("first wrong: crf" not in shown)


@pytest.mark.parametrize("name", ["layers", "tokenizers"])
def test_a_kind_of_which_nothing_was_judged_is_red(name):
    right = Cell(name, name, "jax", error_ratio=1.0 if name == "layers" else None, judged=9, green=9)
    assert why_red(right) is None
    for damaged in (right._replace(judged=None), right._replace(judged=0, green=0), right._replace(green=8)):
        assert why_red(damaged)
    assert why_red(right._replace(error_ratio=None)) if name == "layers" else True
