"""Call overhead: `predict` beside a direct call of the same model, both compiled, in one process.

    python -m bench.studies.call_overhead [--rounds 15]        in an environment with Keras 3

"second call" is the A/A control, which shows the noise. Every output passes the accuracy gate before it is timed.
"""

import sys

from bench.accuracy_gate import check_output
from bench.implementations.ours import Ours
from bench.scenarios import BY_NAME, CALL, PREDICT, make_inputs
from bench.studies import Study, interleave, read_rounds, timed
from bench.weights import make_weights, weights_folder

SCENARIOS = "bert-base-1x128", "bert-base-8x128", "bert-base-1x512"


def prepared(model, scenario, mode):
    """A function of no arguments that calls the model; SystemExit if its output is wrong."""
    function, feed = model.function(mode), model.feed(mode, make_inputs(scenario))
    _, wrong = check_output(scenario, model.arrays(function(feed))[0])
    if wrong:
        sys.exit(f"{scenario.name} by {mode}: {wrong}")
    return lambda: function(feed)


def main():
    rounds = read_rounds(__doc__, 15)
    study = Study("call_overhead", rounds)
    for scenario in map(BY_NAME.get, SCENARIOS):
        model = Ours()
        make_weights(scenario, model)
        model.load(scenario, weights_folder(scenario, model.FORMAT))
        call, predict = prepared(model, scenario, CALL), prepared(model, scenario, PREDICT)
        candidates = {"predict": timed(predict), "call": timed(call), "second call": timed(call)}
        bases = {"predict": "call", "second call": "call"}
        study.add_times(scenario.name, interleave(candidates, rounds), bases)
    study.write()


if __name__ == "__main__":
    main()
