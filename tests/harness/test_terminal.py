"""The table in the terminal."""

from reports import terminal


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["terminal", *arguments])
    code = terminal.main()
    return code, capsys.readouterr().out


def test_a_red_cell_fails_the_run_and_says_why(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(
        terminal,
        "compare_case",
        lambda case, pairing: terminal.Cell(case.name, case.system, pairing, red="no record"),
    )
    code, text = run(monkeypatch, capsys, "jax", "--case", "bert")
    assert code == 1
    assert "bert: no record" in text and "0 of 1 cases green" in text


def test_green_cells_pass(monkeypatch, capsys):
    def green(case, pairing):
        return terminal.Cell(
            case.name,
            case.system,
            pairing,
            error_ratio=1.25,
            worst_layer="Embedding-Norm",
            worst_layer_ratio=1.5,
            load_seconds=0.01,
            latency_seconds=0.002,
            peak_memory_bytes=4e8,
        )

    monkeypatch.setattr(terminal, "compare_case", green)
    code, text = run(monkeypatch, capsys, "jax", "torch", "--case", "bert", "--case", "bert-mlm")
    assert code == 0
    assert "jax: 2 of 2 cases green" in text and "torch: 2 of 2 cases green" in text
    for word in ("1.25", "Embedding-Norm", "1.50", "10", "2.0", "400"):
        assert word in text
