"""What the bench is made of: registries, verdicts, rows, limits."""

import io
import json

import numpy as np
import pytest

from bench import limit, worker
from bench.golden import golden_name, read_golden
from bench.judge import difference_of_tokens, judge_output
from bench.rows import MEASURED, WRONG, Row, append_rows, read_rows
from bench.scenarios import BY_NAME, GENERATE, LOAD, SCENARIOS, TRAIN, make_inputs
from bench.subjects import ADAPTERS, AGAIN, SUBJECTS, Unsupported, chosen_subjects, subject_named
from parity.compare import BOUND
from parity.files import ROOT
from parity.sampling import OUTPUT_SAMPLE

in_scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
ENCODER = BY_NAME["bert-base-1x128"]


def row(**fields):
    usual = dict(
        run="r", started="s", commit="c", command="x", subject="bert4keras3-jax", scenario="a", mode="call"
    )
    return Row(**{**usual, "device": "cpu", "status": MEASURED, **fields})


# Registries


def test_names_are_unique():
    assert len({one.name for one in SUBJECTS}) == len(SUBJECTS)
    assert len(BY_NAME) == len(SCENARIOS)


@pytest.mark.parametrize("adapter", sorted(set(ADAPTERS.values())))
def test_every_adapter_is_a_file(adapter):
    assert (ROOT / "bench" / "subjects" / f"{adapter}.py").exists()


def test_a_pairing_is_measured_beside_itself():
    assert [one.name for one in chosen_subjects(["torch"])] == [
        "bert4keras3-torch",
        "bert4keras3-torch-again",
    ]


def test_a_switch_is_set_for_its_subject_alone():
    packed, usual = subject_named("bert4keras3-torch-packed"), subject_named("bert4keras3-torch")
    assert packed.environment.variables == {**usual.environment.variables, "PACKED_LINEAR": "1"}
    assert packed.environment.environment == usual.environment.environment


def test_peers_are_all_there_and_ours_twice():
    names = [one.name for one in chosen_subjects(["peers", "--quick"])]
    assert {
        "reference",
        "transformers",
        "onnxruntime",
        "openvino-export",
        "abandoned-port",
        "keras-hub-jax",
    } <= set(names)
    assert sum(name.endswith(AGAIN) for name in names) == 1 and len(set(names)) == len(names)


def test_peers_on_a_gpu_are_those_built_for_one():
    names = [one.name for one in chosen_subjects(["peers", "--device", "gpu"])]
    ours = ["bert4keras3-jax-cuda", "bert4keras3-jax-cuda-again", "bert4keras3-torch-cuda"]
    assert names == [*ours, "transformers-cuda"]


def test_chosen_subjects_stand_in_place_of_the_usual_ones():
    arguments = ["jax", "--subject", "transformers", "--rounds", "3"]
    assert [one.name for one in chosen_subjects(arguments)] == ["transformers"]


def test_an_unknown_subject_is_named():
    with pytest.raises(SystemExit, match="no subject is named bert5"):
        subject_named("bert5")


@in_scenarios
def test_a_batch_is_padded_and_a_single_row_is_not(scenario):
    tokens = make_inputs(scenario)[0]
    assert tokens.shape == (scenario.batch, scenario.length)
    assert ((tokens == 0).any(axis=1) == (np.arange(scenario.batch) > 0)).all()


@in_scenarios
def test_every_scenario_has_its_golden(scenario):
    golden, story = read_golden(scenario)
    assert story["scenario"] == golden_name(scenario)
    for i, value in enumerate(make_inputs(scenario)):
        assert np.array_equal(golden["%d/input/%d" % (scenario.length, i)], value)


def test_training_that_did_nothing_would_be_wrong():
    """The weights' change shows in what is compared, hundreds of times the bound."""
    _, story = read_golden(BY_NAME["bert-base-train-8x128"])
    assert story["change_by_training"] > 100 * BOUND


# Verdicts


@pytest.fixture
def right_output():
    """An output with the golden's numbers where they are compared."""
    golden, story = read_golden(ENCODER)
    (name, shape), *_ = story["shapes"].items()
    output = np.zeros(shape, "float32")
    size = output.size
    output.flat[np.random.RandomState(size % 2**31).randint(0, size, OUTPUT_SAMPLE)] = golden[name]
    return output


def test_the_right_output_is_right(right_output):
    ratio, wrong = judge_output(ENCODER, right_output)
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
    assert reason in judge_output(ENCODER, spoil(right_output))[1]


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


# The limit


def test_products_are_all_the_work_of_bert_base():
    """2 · 85 million weights of the blocks · tokens, and the two products of attention."""
    flops = sum(2 * m * k * n * times for (m, k, n), times in limit.products(ENCODER, "call").items())
    blocks = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    assert flops == 2 * 128 * blocks + 12 * 2 * 2 * 128 * 128 * 768


def test_training_is_three_times_forward():
    train = BY_NAME["bert-base-train-8x128"]
    forward = limit.products(train, "call")
    assert limit.products(train, TRAIN) == {shape: 3 * times for shape, times in forward.items()}


def test_a_token_reads_every_weight_of_the_decoder_once():
    gpt = BY_NAME["gpt2-base-64-tokens"]
    assert limit.bytes_a_token(gpt) == 4 * (12 * (4 * 768**2 + 2 * 768 * 3072) + 768 * 50257)


def test_limit_takes_the_best_library_of_each_shape(monkeypatch):
    def run(command, input, **options):
        times = {"numpy": 2.0, "jax": 1.0}
        shapes = json.loads(input)
        seconds = times[command[-1]] if command[-1] in times else 3.0
        return type("Run", (), {"stdout": json.dumps([seconds] * len(shapes))})

    monkeypatch.setattr(limit.subprocess, "run", run)
    limits = limit.Limits([ENCODER])
    assert set(limits.libraries.values()) == {"jax"}
    assert limits.seconds(ENCODER, "call") == sum(limit.products(ENCODER, "call").values())
    assert limits.seconds(ENCODER, LOAD) is None
    gpt = BY_NAME["gpt2-base-64-tokens"]
    assert limit.Limits([gpt]).seconds(gpt, GENERATE) > sum(limit.products(gpt, GENERATE).values())


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
