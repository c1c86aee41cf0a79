"""`predict` beside a direct call of the same model, in one process.

    python -m bench.predict_and_call [--rounds 15]        in an environment with Keras 3 and bert4keras3

`nox -s bench-peers` measures each of them beside other libraries, one after the other; here they take turns, in an
order that changes, so that what slows the machine down for a minute slows both. What counts is the median of the ratios
within a round. "first of two": the same call twice, the first ÷ the second, which shows the noise. Outputs are judged
before anything is timed.
"""

import os
import sys
import time

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bench.judge import judge_output  # noqa: E402
from bench.program import begin  # noqa: E402
from bench.scenarios import BY_NAME, CALL, PREDICT, make_inputs  # noqa: E402
from bench.subjects import ours  # noqa: E402
from bench.weights import make_weights, weights_folder  # noqa: E402
from bert4keras3.backend import framework, keras  # noqa: E402

SCENARIOS = "bert-base-1x128", "bert-base-8x128", "bert-base-1x512"


def prepared(model, scenario, mode):
    """() → seconds of one call; SystemExit where its output is wrong."""
    function, feed = ours.function(model, scenario, mode), ours.feed(model, mode, make_inputs(scenario))
    _, wrong = judge_output(scenario, ours.arrays(function(feed))[0])
    if wrong:
        sys.exit("%s by %s: %s" % (scenario.name, mode, wrong))

    def seconds():
        start = time.perf_counter()
        function(feed)
        return time.perf_counter() - start

    return seconds


def measure(scenario, rounds):
    make_weights(scenario, ours)
    model = ours.load(scenario, weights_folder(scenario, ours.FORMAT))
    call, predict = prepared(model, scenario, CALL), prepared(model, scenario, PREDICT)
    ways = {"predict": predict, "call": call, "second call": call}
    seconds = {name: [] for name in ways}
    for number in range(rounds):
        for name in np.random.RandomState(number).permutation(list(ways)):
            seconds[name].append(ways[name]())
    predicts, calls, second = (np.array(seconds[name]) for name in ways)
    print(
        "%-16s predict %5.0f ms, call %5.0f ms: predict / call %.3f, first of two calls / second %.3f"
        % (
            scenario.name,
            1000 * np.median(predicts),
            1000 * np.median(np.concatenate([calls, second])),
            np.median(2 * predicts / (calls + second)),
            np.median(calls / second),
        ),
        flush=True,
    )


def main():
    rounds = begin(__doc__, 15, "%s on %s" % (keras.__version__, framework))
    for name in SCENARIOS:
        measure(BY_NAME[name], rounds)


if __name__ == "__main__":
    main()
