"""What the bench is made of: registries, verdicts, rows, found."""

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench import before, process, roofline, worker
from bench.accuracy_gate import check_output, difference_of_tokens
from bench.golden import golden_name, read_golden
from bench.implementations import (
    CONTROL,
    IMPLEMENTATIONS,
    Unsupported,
    chosen_implementations,
    implementation_named,
)
from bench.process import worker_variables
from bench.rows import (
    MEASURED,
    RENAMED,
    WRONG,
    Row,
    StudyRow,
    append_rows,
    read_rows,
    read_study,
    write_study,
)
from bench.scenarios import (
    BY_NAME,
    GENERATE,
    LOAD,
    PREDICT,
    SCENARIOS,
    SYSTEM_SCENARIOS,
    TRAIN,
    make_inputs,
)
from bench.studies import interleave, ratio_of, timed
from parity.compare import BOUND
from parity.models.releases import SYSTEMS
from parity.store import append_lines
from parity.subsample import OUTPUT_SAMPLE

in_scenarios = pytest.mark.parametrize("scenario", BY_NAME.values(), ids=lambda scenario: scenario.name)
ENCODER = BY_NAME["bert-base-1x128"]


def row(**fields):
    usual = dict(
        run="r",
        started="s",
        commit="c",
        command="x",
        implementation="bert4keras3-jax",
        scenario="a",
        mode="call",
    )
    return Row(**{**usual, "device": "cpu", "status": MEASURED, **fields})


# Registries


def test_ours_in_a_variant_is_an_implementation():
    one, control = chosen_implementations(["jax+keras==3.12.0"])
    assert one.name == "bert4keras3-jax+keras==3.12.0" and control.name == one.name + CONTROL
    assert one.environment.environment == "jax+keras==3.12.0"
    assert one.adapter == implementation_named("bert4keras3-jax").adapter
    with pytest.raises(SystemExit, match="no implementation is named bert4keras3-jax\\+keras"):
        implementation_named("bert4keras3-jax+keras")


def test_names_are_unique():
    assert len({one.name for one in IMPLEMENTATIONS}) == len(IMPLEMENTATIONS)
    assert len(BY_NAME) == len(SCENARIOS) + len(SYSTEM_SCENARIOS)


def test_a_pairing_is_measured_beside_itself():
    assert [one.name for one in chosen_implementations(["torch"])] == [
        "bert4keras3-torch",
        "bert4keras3-torch-control",
    ]


def test_a_pairing_on_a_gpu_is_the_one_that_is_built_for_it():
    arguments = ["torch", "--systems", "--device", "gpu"]
    assert chosen_implementations(arguments)[0].name == "bert4keras3-torch-cuda"


def test_a_switch_is_set_for_its_implementation_alone():
    packed, usual = (
        implementation_named("bert4keras3-torch-packed"),
        implementation_named("bert4keras3-torch"),
    )
    assert packed.environment.variables == {**usual.environment.variables, "PACKED_LINEAR": "1"}
    assert packed.environment.environment == usual.environment.environment


def test_peers_are_all_there_and_ours_twice():
    names = [one.name for one in chosen_implementations(["peers", "--quick"])]
    assert {
        "reference",
        "transformers",
        "onnxruntime",
        "openvino-export",
        "abandoned-port",
        "keras-hub-jax",
    } <= set(names)
    assert sum(name.endswith(CONTROL) for name in names) == 1 and len(set(names)) == len(names)


def test_peers_on_a_gpu_are_those_built_for_one():
    names = [one.name for one in chosen_implementations(["peers", "--device", "gpu"])]
    ours = ["bert4keras3-jax-cuda", "bert4keras3-jax-cuda-control", "bert4keras3-torch-cuda"]
    assert names == [*ours, "transformers-cuda"]


def test_chosen_implementations_stand_in_place_of_the_usual_ones():
    arguments = ["jax", "--implementation", "transformers", "--rounds", "3"]
    assert [one.name for one in chosen_implementations(arguments)] == ["transformers"]


def test_an_older_library_is_measured_beside_each_of_ours():
    arguments = ["peers", "--implementation", "bert4keras3-jax", "--implementation", "transformers"]
    chosen = chosen_implementations([*arguments, "--before", "v1.whl"])
    assert [(one.name, one.before) for one in chosen] == [
        ("bert4keras3-jax", None),
        ("bert4keras3-jax-before", "v1.whl"),
        ("transformers", None),
    ]
    assert implementation_named("bert4keras3-jax-before-control").pairing == "jax"


def test_an_older_library_comes_first_on_the_path_of_its_worker(tmp_path, monkeypatch):
    """From a wheel and from git; the pairing's own path stays behind it."""
    monkeypatch.setattr(before, "FOLDER", tmp_path / "before")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    wheel = tmp_path / "bert4keras3-1.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("bert4keras3/__init__.py", "__version__ = '1'")
    for source in (str(wheel), "HEAD"):
        old = implementation_named("bert4keras3-jax")._replace(before=source)
        first, second = worker_variables(old, "cpu")["PYTHONPATH"].split(os.pathsep)
        assert (Path(first) / "bert4keras3" / "__init__.py").exists() and second == "elsewhere"
    for source in ("no-such.whl", "0000000"):
        with pytest.raises(process.Absent, match=source):
            worker_variables(old._replace(before=source), "cpu")


def test_an_unknown_implementation_is_named():
    with pytest.raises(SystemExit, match="no implementation is named bert5"):
        implementation_named("bert5")


@in_scenarios
def test_a_batch_is_padded_and_a_single_row_is_not(scenario):
    tokens = make_inputs(scenario)[0]
    assert tokens.shape == (scenario.batch, scenario.length)
    assert ((tokens == 0).any(axis=1) == (np.arange(scenario.batch) > 0)).all()


@in_scenarios
def test_every_scenario_has_its_golden(scenario):
    golden, metadata = read_golden(scenario)
    assert metadata["scenario"] == golden_name(scenario)
    for i, value in enumerate(make_inputs(scenario)):
        assert np.array_equal(golden[f"{scenario.length}/input/{i}"], value)


def test_every_system_is_measured_once_at_the_size_of_its_release():
    systems = [name for name, system in SYSTEMS.items() if system.page]
    assert sorted(one.system for one in SYSTEM_SCENARIOS) == sorted(systems)
    for one in SYSTEM_SCENARIOS:
        assert one.release.full_size and one.modes == (PREDICT,) and (one.batch, one.length) == (1, 128)
        assert not any(name.startswith("with_") for name in one.arguments), one.name


def test_scenarios_that_compute_the_same_share_their_golden():
    same = [name for name, one in BY_NAME.items() if golden_name(one) == "bert-base-1x128"]
    assert {"bert-base-load", "google-bert-1x128", "hit-bert-wwm-1x128"} < set(same)
    assert "nezha-1x128" not in same and golden_name(BY_NAME["nezha-1x128"]) == "nezha-base-1x128"


def test_systems_of_equal_weights_stand_together():
    """Their files may go when the last of them is measured."""
    names = [one.release.name for one in SYSTEM_SCENARIOS]
    changes = sum(first != second for first, second in zip(names, names[1:], strict=False))
    assert changes + 1 == len(set(names)) < len(names)


def test_training_that_did_nothing_would_be_wrong():
    """The weights' change shows in what is compared, hundreds of times the bound."""
    _, metadata = read_golden(BY_NAME["bert-base-train-8x128"])
    assert metadata["change_by_training"] > 100 * BOUND


# The accuracy gate


@pytest.fixture
def right_output():
    """An output with the golden's numbers where they are compared."""
    golden, metadata = read_golden(ENCODER)
    (name, shape), *_ = metadata["shapes"].items()
    output = np.zeros(shape, "float32")
    size = output.size
    output.flat[np.random.RandomState(size % 2**31).randint(0, size, OUTPUT_SAMPLE)] = golden[name]
    return output


def test_the_right_output_is_right(right_output):
    ratio, wrong = check_output(ENCODER, right_output)
    assert wrong is None and ratio < 1


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda output: output * 1.001, "error ratio"),
        (lambda output: output + 1e-4, "error ratio"),
        (lambda output: np.full_like(output, np.nan), "not finite"),
        (lambda output: output[:0], "has shape"),
        (lambda output: output[:, :-1], "has shape"),
    ],
    ids=["scaled", "shifted", "nan", "empty", "short"],
)
def test_a_wrong_output_says_why(right_output, spoil, reason):
    assert reason in check_output(ENCODER, spoil(right_output))[1]


@pytest.mark.parametrize(
    "found, reason",
    [
        ([1, 2, 3], None),
        ([1, 5, 3], "token 1 is 5, expected 2; 1 of 3 differ"),
        ([1, 2], "2 tokens, expected 3"),
    ],
)
def test_tokens_are_equal_or_wrong(found, reason):
    assert difference_of_tokens(np.array([1, 2, 3]), np.array(found)) == reason


# Rows


def test_rows_come_back_as_they_were(tmp_path):
    rows = [row(latency_seconds=[0.1, 0.2], settings={"threads": 2}), row(status=WRONG, reason="错")]
    append_rows(tmp_path / "run.jsonl", rows)
    assert read_rows(tmp_path / "run.jsonl") == rows


def test_a_killed_writer_costs_its_last_row_only(tmp_path):
    path = tmp_path / "run.jsonl"
    append_rows(path, [row(mode="call"), row(mode="predict")])
    path.write_bytes(path.read_bytes()[:-20])
    append_rows(path, [row(mode="compiled")])
    assert [one.mode for one in read_rows(path)] == ["call", "compiled"]


def test_rows_of_an_older_schema_are_read_by_their_new_names(tmp_path):
    path = tmp_path / "run.jsonl"
    old = {new: name for name, new in RENAMED.items()}
    line = {old.get(name, name): value for name, value in row(roofline_seconds=0.03)._asdict().items()}
    append_lines(path, [line], 1)
    assert "limit_seconds" in path.read_text() and read_rows(path) == [row(roofline_seconds=0.03)]


def test_a_study_keeps_the_newest_row_of_a_figure(tmp_path):
    path = tmp_path / "study.jsonl"
    first, other = (StudyRow("s", "case", name, "time", 1.0, "ms", pairing="jax") for name in ("a", "b"))
    write_study(path, [first, other])
    write_study(path, [first._replace(value=0.0, ratio=0.5, base="b")])
    assert read_study(path) == [first._replace(value=0.0, ratio=0.5, base="b"), other]


# Studies


def test_interleave_calls_every_candidate_once_a_round_in_changing_orders():
    calls = []
    candidates = {name: lambda name=name: calls.append(name) or len(calls) for name in "abc"}
    found = interleave(candidates, rounds=8, warm_up=1)
    assert {name: len(results) for name, results in found.items()} == {"a": 8, "b": 8, "c": 8}
    orders = [tuple(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders) and len(set(orders)) > 1
    assert min(min(results) for results in found.values()) > 3  # the warm-up does not count


def test_a_ratio_is_the_median_of_the_ratios_within_the_rounds():
    """The machine is ten times slower in one round: the ratio does not see it, medians of seconds would."""
    assert ratio_of([2.0, 20.0, 2.2], [1.0, 10.0, 1.0]) == pytest.approx((2.0, 2.0, 2.1))


def test_timed_uses_its_clock():
    ticks = iter([1.0, 3.5])
    assert timed(lambda: None, lambda: next(ticks))() == 2.5


# The roofline


def test_matmuls_are_all_the_work_of_bert_base():
    """2 · 85 million weights of the blocks · tokens, and the two matmuls of attention."""
    flops = sum(2 * m * k * n * times for (m, k, n), times in roofline.matmuls(ENCODER, "call").items())
    blocks = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    assert flops == 2 * 128 * blocks + 12 * 2 * 2 * 128 * 128 * 768


def test_training_is_three_times_forward():
    train = BY_NAME["bert-base-train-8x128"]
    forward = roofline.matmuls(train, "call")
    assert roofline.matmuls(train, TRAIN) == {shape: 3 * times for shape, times in forward.items()}


def test_a_token_reads_every_weight_of_the_decoder_once():
    gpt = BY_NAME["gpt2-base-64-tokens"]
    assert roofline.bytes_per_token(gpt) == 4 * (12 * (4 * 768**2 + 2 * 768 * 3072) + 768 * 50257)


def test_a_scenario_whose_matmuls_were_not_timed_has_no_roofline(monkeypatch):
    """The matmuls of BERT-base are some of those of a T5, which are not counted."""
    reply = type("Run", (), {"stdout": json.dumps([1.0] * 9)})
    monkeypatch.setattr(roofline.subprocess, "run", lambda *arguments, **options: reply)
    found = roofline.Roofline([ENCODER])
    assert found.seconds(ENCODER, PREDICT) and found.seconds(BY_NAME["t5-1x128"], PREDICT) is None


def test_roofline_takes_the_best_library_of_each_shape(monkeypatch):
    def run(command, input, **options):
        times = {"numpy": 2.0, "jax": 1.0}
        shapes = json.loads(input)
        seconds = times[command[-1]] if command[-1] in times else 3.0
        return type("Run", (), {"stdout": json.dumps([seconds] * len(shapes))})

    monkeypatch.setattr(roofline.subprocess, "run", run)
    found = roofline.Roofline([ENCODER])
    assert set(found.libraries.values()) == {"jax"}
    assert found.seconds(ENCODER, "call") == sum(roofline.matmuls(ENCODER, "call").values())
    assert found.seconds(ENCODER, LOAD) is None
    gpt = BY_NAME["gpt2-base-64-tokens"]
    assert roofline.Roofline([gpt]).seconds(gpt, GENERATE) > sum(roofline.matmuls(gpt, GENERATE).values())


# The worker's side of the protocol


def test_a_worker_answers_line_by_line_and_outlives_errors():
    class Small:
        def double(self, number):
            return {"number": 2 * number}

        def refuse(self):
            raise Unsupported("no such mode")

        def break_down(self):
            raise RuntimeError("lost")

    requests = [
        {"do": "double", "number": 4},
        {"do": "refuse"},
        {"do": "break_down"},
        {"do": "double", "number": 1},
    ]
    replies = io.StringIO()
    worker.serve(Small, io.StringIO("".join(json.dumps(one) + "\n" for one in requests)), replies)
    assert [json.loads(line) for line in replies.getvalue().splitlines()] == [
        {"status": "done", "number": 8},
        {"status": "unsupported", "reason": "no such mode"},
        {"status": "failed", "reason": "RuntimeError: lost"},
        {"status": "done", "number": 2},
    ]


def test_a_library_that_is_not_there_is_a_reply_too():
    def missing():
        raise ImportError("no keras_hub")

    replies = io.StringIO()
    worker.serve(missing, io.StringIO('{"do": "convert"}\n'), replies)
    assert json.loads(replies.getvalue()) == {"status": "failed", "reason": "ImportError: no keras_hub"}
