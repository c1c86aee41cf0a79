"""Two results compared: what turned, by how much, at which layer, counts and speed, whatever A and B name."""

import json

import pytest
from report_samples import LAYERS, sample_results, sample_rows

from bench.rows import append_rows
from parity.store import commit, write_json
from reports import compare_commits
from reports.__main__ import main
from reports.compare import compare, markdown
from reports.compare_commits import Comparison, stable_changes
from reports.history import remember
from reports.results import read_results, write_cells
from reports.sides import find_side
from reports.speed_turns import count_turns, time_turns
from reports.statistics import Change

HEAD = str(commit()).rstrip("+")


def cells_of(pairing="jax", **fields):
    """Cells of a pairing, of the commit of this checkout; `fields` are changed in the first of them."""
    cells = [cell for cell in sample_results(red=False).cells if cell.pairing == "jax"]
    first, *rest = [cell._replace(pairing=pairing, commit=HEAD) for cell in cells]
    return [first._replace(**fields), *rest]


def rows_of(seconds=0.05, **fields):
    row = sample_rows()[0]
    return [row._replace(latency_seconds=[seconds] * 20, **{"commit": HEAD, **fields})]


def write(folder, cells, rows=()):
    write_cells(folder, cells[0].pairing, cells)
    append_rows(folder / "bench" / "run.jsonl", rows)
    return folder


@pytest.fixture
def old(tmp_path):
    return write(tmp_path / "old", cells_of(), rows_of())


@pytest.fixture
def new(tmp_path):
    return tmp_path / "new"


def text(one, other, results=None):
    """The Markdown of two sides."""
    return markdown(compare(*(find_side(str(name), results or other) for name in (one, other))))


def run(*words, results):
    return main(["compare", *map(str, words), "--results", str(results)])


def test_the_same_twice_says_that_nothing_changed(old, capsys):
    assert run(old, old, results=old) == 0
    out = capsys.readouterr().out
    assert "Nothing changed: 89 cells and 1 speeds compared" in " ".join(out.split())


@pytest.mark.parametrize("field", ["error_ratio", "gradient_ratio", "losses_ratio"])
def test_a_ratio_that_doubled_is_worse_and_names_its_layer(old, new, field):
    first = cells_of()[0]
    layers = {
        name: ratio * (5 if i >= 3 else 1) for i, (name, ratio) in enumerate(first.layer_ratios.items())
    }
    changed = {field: 2.5 * getattr(first, field), "layer_ratios": layers}
    if changed[field] > 3:
        pytest.skip("red, which another test tells")
    found = text(old, write(new, cells_of(**changed), rows_of()))
    assert "**1 worse**" in found and f"jax {first.case}" in found and LAYERS[3] in found
    assert found.count("\n| ") == 3  # only what changed: header, line, row


def test_newly_red_names_the_layer_at_fault_and_green_again_is_better(old, new):
    write(new, cells_of(red="error ratio 41", error_ratio=41.0, first_wrong_layer=LAYERS[2]), rows_of())
    there, back = text(old, new), text(new, old)
    assert "🔴" in there and "newly red: error ratio 41" in there and LAYERS[2] in there
    assert "🟢 **1 better**" in back and "green again" in back


def test_another_reason_is_neither_worse_nor_better(tmp_path, new):
    one = write(tmp_path / "one", cells_of(red="out of memory"))
    assert "**1 neither**" in text(one, write(new, cells_of(red="no record")))


def test_worse_fails_and_better_does_not(old, new):
    write(new, cells_of(red="out of memory"))
    assert run(old, new, results=new) == 1
    assert run(new, old, results=new) == 0


def test_what_only_one_side_has_is_counted_with_its_reason(old, new):
    write(new, cells_of()[:80])
    assert "jax: 9 cells are absent in B" in text(old, new)
    write_json(new / "cells" / "jax.json", {"schema": 1, "pairing": "jax", "cells": [], "absent": "no disk"})
    found = text(old, new)
    assert "Nothing was compared" in found and "jax: 89 cells are absent in B: no disk" in found
    assert run(old, new, results=new) == 1


def test_a_baseline_is_a_side(old, new, tmp_path):
    baseline = tmp_path / "baseline.json"
    assert main(["regress", "--update", "--results", str(old), "--baseline", str(baseline)]) == 0
    write(new, cells_of(red="out of memory"))
    assert "newly red" in text(baseline, new)


def test_two_pairings_are_compared_case_by_case(old):
    write_cells(old, "torch", cells_of("torch", error_ratio=2.9))
    append_rows(old / "bench" / "torch.jsonl", rows_of(0.08, implementation="bert4keras3-torch"))
    found = text("jax", "torch", old)
    assert "### jax → torch" in found and "89 cells and 1 speeds" in found and "1.60 times" in found


def test_a_version_is_a_pairing_of_that_name(old):
    write_cells(old, "jax+keras==3.12.0", cells_of("jax+keras==3.12.0", red="out of memory"))
    assert "newly red" in text("jax", "jax+keras==3.12.0", old)


def test_a_commit_is_found_in_the_results_and_in_the_history(old, new):
    assert "89 cells" in text("HEAD", "HEAD", old)
    remember(old, read_results(old))
    cells = [cell._replace(commit="0123456789ab") for cell in cells_of(red="out of memory")]
    write(new, cells, rows_of(commit="0123456789ab"))
    (new / "history.jsonl").write_text((old / "history.jsonl").read_text())
    found = markdown(compare(find_side("HEAD", new), find_side(str(new), new)))
    assert "systems and 1 speeds compared" in found and "newly red: 1 of " in found


def test_a_commit_without_results_has_nothing_to_compare(old):
    write_cells(old, "jax", [cell._replace(commit="0123456789ab") for cell in cells_of()])
    (old / "bench" / "run.jsonl").unlink()
    assert "Nothing was compared" in text("HEAD", old, old)


def test_what_is_no_side_is_one_clear_line(old, tmp_path, capsys):
    assert run("nonesuch", old, results=old) == 1
    assert "nonesuch: expected a folder of results" in capsys.readouterr().out
    assert run(tmp_path, old, results=old) == 1
    assert "neither cells/ nor bench/" in capsys.readouterr().out


def test_speed_wants_two_commits(old, capsys):
    assert run("HEAD", old, "--speed", "jax", results=old) == 1
    assert "--speed measures two commits" in capsys.readouterr().out


def test_two_commits_are_measured_side_by_side(old, monkeypatch, capsys):
    slow = Change(0.1, 0.104, 1.04, 1e-4, 1.02)
    found = Comparison("bert-base-1x128", "compiled", slow, None, counts={"op copy": (3, 4)})
    asked = []
    monkeypatch.setattr(
        compare_commits, "measure", lambda *words, new: asked.append((*words, new)) or [found]
    )
    assert run("HEAD", "HEAD", "--speed", "jax", results=old) == 1
    out = capsys.readouterr().out
    assert asked == [("jax", HEAD, HEAD)] and "op copy 3 → 4" in out and "ratio 1.040" in out


def test_an_extra_operation_is_named_by_its_count():
    counts = {"op add": 25, "op copy": 7, "bytes allocated": 1000}
    old, new = rows_of(counts=counts), rows_of(counts={**counts, "op copy": 8, "bytes allocated": 1400})
    (turn,) = count_turns(old, new)
    assert turn.what == "bytes allocated 1000 → 1400, op copy 7 → 8"
    assert not count_turns(old, old) and not count_turns(old, rows_of())


def test_a_count_in_which_equal_processes_differ_is_none():
    old, new, control = {"a": 1, "b": 5, "c": None}, {"a": 2, "b": 6, "c": 8}, {"a": 1, "b": 7}
    assert stable_changes(old, new, control) == {"a": (1, 2)}


def test_times_of_two_runs_are_shown_if_they_are_far_apart():
    slower = rows_of(0.07, run="another", settings={"processor": "Another"})
    ((turn,), count) = time_turns(rows_of(), slower)
    assert count == 1 and turn.worse is None
    assert "latency 50 → 70 ms, 1.40 times" in turn.what
    assert "not interleaved" in turn.what and "Made-up processor, now Another" in turn.what
    assert time_turns(rows_of(), rows_of(0.052))[0] == []


def test_a_noisy_control_hides_a_difference_of_its_size():
    control = rows_of(0.065, implementation="bert4keras3-jax-control")
    assert time_turns(rows_of() + control, rows_of(0.07, run="another"))[0] == []


def test_a_row_that_fails_now_is_worse():
    (turn,) = count_turns(rows_of(), rows_of(status="failed", reason="signal SIGSEGV"))
    assert turn.worse and turn.what == "measured, now failed: signal SIGSEGV"


def test_the_markdown_holds_no_markup_of_others_and_fits_a_comment(old, new):
    many = [cell._replace(red="<script>| " + "x" * 300) for cell in cells_of()]
    found = text(old, write(new, many))
    assert "<script>" not in found and "… and 39 more." in found and len(found) < 65536


def test_the_history_keeps_a_comparison_once(old, new):
    write(new, cells_of(red="out of memory"))
    file = new / "comparison.md"
    for _ in range(2):
        assert run(old, new, "--keep", "--markdown", file, results=new) == 1
    assert file.read_text().startswith("<!-- bert4keras3: compare -->\n")
    (line,) = [json.loads(one) for one in (new / "history.jsonl").read_text().splitlines()]
    assert line["kind"] == "change" and line["title"] == "1 worse" and len(line["lines"]) == 1
    assert run(old, old, "--keep", results=old) == 0 and not (old / "history.jsonl").exists()
