"""Code, docs and messages use the field's words. Each pattern is a word of this project that nobody else uses."""

import re

import pytest

from parity.store import ROOT

FOLDERS = ("bench", "bert4keras3", "docs", "examples", "pairings", "parity", "reports", "tests", ".github")
SUFFIXES = (".py", ".md", ".yml", ".html", ".css", ".js", ".toml", ".txt")
# {pattern: the field's word}
WORDS = {
    r"turned kernels?|kernels? turned|turned_kernel": "transposed or packed weights",
    r"turned round|the other way round": "transposed, reversed",
    r"sum_of_products|in_parts\b|parts_of\b": "split-K matmul, num_splits",
    r"folded_product|\bFOLD\b": "block-diagonal packing",
    r"\bDIGIT\b|digits_of": "int8 residual expansion, number of terms",
    r"ways_to_multiply|quickest_of|\bquickest\b": "kernel candidates, select_kernel, fastest",
    r"keys are kept|\bkept\(": "cached, cached_packed_weight",
    r"\bRecorded\b|\bRecorder\b|\brecorders\b": "TracedFunction, Tracer",
    r"\bmakers\b|\bderived\(": "lifted",
    r"merge_equal|keras3_merging": "common-subexpression elimination",
    r"keras3_many|\bmany\.(?!\s)": "foreach",
    r"\bknown\(condition\)": "concrete_bool",
    r"foreach\.move\b|\bshrinks\b": "apply_updates(…, scales, decays)",
    r"initial_values_last|\bUnset\(|kernel_last": "deferred initialization, Uninitialized",
    r"quick_dropout|exact_gelu|\bfuses\(": "dropout, gelu, use_fused_ops",
    r"PhaseReader": "TrainingPhaseProbe",
    r"backend[./]selected": "contract",
    r"spread_batches|batch_structure": "distribute, multi_input_type",
    r"\bwiden\(|\bwide_floatx": "upcast",
    r"dense_each": "dense_group",
    r"takes_ids": "autocast=False",
    r"texts? that (is|are) written|\.writer\b": "sequences, generated tokens, decoder",
    r"begin_texts|read_prompts|read_newest": "init_state, prefill, decode_step",
    r"TokenByToken|\bgoes_on\b": "SingleSequence, should_continue",
    r"\bIMPOSSIBLE\b": "MASKED_SCORE",
    r"first_wrong_alone": "root_cause_layer",
    r"\bContest(ant)?\b": "InterleavedRun, Candidate",
    r"bench[./]subjects|--subject\b|\bjudge_output\b": "implementation, check_output",
    r"\bAGAIN\b|-again\b": "A/A control",
    r"× limit|x limit\b": "× roofline",
    r"last_words|how_it_ended": "stderr_tail, exit_reason",
    r"slope_calls|memory_slope": "leak_check_calls, bytes per call",
    r"smaller_weights|predict_and_call|read_checkpoint": "quantization, call_overhead, checkpoint_loading",
    r"parity bites": "mutation tests",
    r"told from one that amplifies": "distinguished from a layer that only amplifies its input's error",
}
# {file: patterns that mean something else there}
ELSEWHERE = {
    "tests/harness/test_words.py": set(WORDS),
    "tests/published_scripts/run.py": {r"\bmakers\b|\bderived\("},  # functions that make data
    "docs/bisect.md": {r"backend[./]selected"},  # a file of older commits
    "bench/rows.py": {r"slope_calls|memory_slope"},  # names in older result files
}


def files():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if (
                path.suffix in SUFFIXES
                and path.is_file()
                and "results" not in path.parts
                and "goldens" not in path.parts
            ):
                yield path
    yield from (ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "noxfile.py"))


@pytest.mark.parametrize("pattern", WORDS)
def test_the_field_has_a_word_for_it(pattern):
    found = []
    for path in files():
        name = str(path.relative_to(ROOT))
        if pattern in ELSEWHERE.get(name, ()):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if re.search(pattern, line):
                found.append(f"{name}:{number}: {line.strip()[:90]}")
    assert not found, f"write: {WORDS[pattern]}\n" + "\n".join(found)
