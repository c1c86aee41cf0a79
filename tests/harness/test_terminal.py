"""The table in the terminal."""

import pytest

from parity.compare import Cell
from reports import __main__ as command_line


def run(folder, capsys, *arguments):
    code = command_line.main(["table", *arguments, "--results", str(folder)])
    return code, capsys.readouterr().out


def judge_as(monkeypatch, **fields):
    """Have every case judged with these fields of its cell."""
    monkeypatch.setattr(
        command_line, "compare_case", lambda case, pairing: Cell(case.name, case.system, pairing, **fields)
    )


def test_a_red_cell_fails_the_run_and_says_why(monkeypatch, capsys, tmp_path):
    judge_as(monkeypatch, red="no record")
    code, text = run(tmp_path, capsys, "jax", "--case", "bert")
    assert code == 1
    assert "bert: no record" in text and "0 of 1 cases green" in text


def test_red_cells_with_the_newest_releases_are_shown_and_pass(monkeypatch, capsys, tmp_path):
    judge_as(monkeypatch, red="no record")
    code, text = run(tmp_path, capsys, "jax-newest", "--case", "bert")
    assert code == 0 and "bert: no record" in text and "0 of 1 cases green" in text
    code, text = run(tmp_path, capsys, "jax-newest", "jax+keras==3.12.0", "--case", "bert")
    assert code == 1 and "jax+keras==3.12.0: Keras 3 on JAX, with keras 3.12.0" in text


def test_an_unknown_pairing_is_told(capsys, tmp_path):
    with pytest.raises(SystemExit):
        run(tmp_path, capsys, "jaxx")
    assert "no pairing is named jaxx" in capsys.readouterr().err


def test_a_red_cell_says_what_its_difference_looks_like_and_where_its_replay_is(
    monkeypatch, capsys, tmp_path
):
    judge_as(
        monkeypatch,
        red="error ratio 41",
        explanation="consistent with tanh GELU",
        replay="in results/replay/x",
    )
    _, text = run(tmp_path, capsys, "jax", "--case", "bert")
    assert "bert: error ratio 41; consistent with tanh GELU" in text and "replay: in results/replay/x" in text


def test_green_cells_pass(monkeypatch, capsys, tmp_path):
    def green(case, pairing):
        return Cell(
            case.name,
            case.system,
            pairing,
            error_ratio=1.25,
            worst_layer="Embedding-Norm",
            worst_layer_ratio=1.5,
        )

    monkeypatch.setattr(command_line, "compare_case", green)
    code, text = run(tmp_path, capsys, "jax", "torch", "--case", "bert", "--case", "bert-mlm")
    assert code == 0
    assert "jax: 2 of 2 cases green" in text and "torch: 2 of 2 cases green" in text
    for word in ("1.25", "Embedding-Norm", "1.50"):
        assert word in text
    for word in ("load ms", "latency ms", "peak MB"):  # a tiny model's say nothing
        assert word not in text
