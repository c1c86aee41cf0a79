"""There and back through the reference: it loads what we save, and we load what it saves.

Runs in the environment of the reference: `nox -s tests-keras2.3.1-tf1.15 -- -m slow`; the other pairings read the
same files (test_models.py).
"""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from bert4keras3.backend import get_values, keras
from bert4keras3.models import build_transformer_model
from parity.models.cases import CASES
from parity.models.releases import RELEASES
from parity.store import release_paths

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("fresh_session"),
    pytest.mark.skipif(
        importlib.util.find_spec("bert4keras") is None, reason="the reference is not in this pairing"
    ),
]

# In the reference's own process: load the released file, then ours; compare outputs; save weights as HDF5.
REFERENCE = """
import json, sys
import numpy as np
from parity.models import build
from parity.models.cases import CASES_BY_NAME
from parity.store import release_paths
from parity.adapter import listed, open_library
from parity.models.build import make_inputs

folder, names = sys.argv[1], sys.argv[2:]
library = open_library("bert4keras")
results = {}
for name in names:
    case = CASES_BY_NAME[name]
    config, released = release_paths(case.checkpoint)
    transformer, model = builders.plain(library, str(config), case)
    outputs = []
    for checkpoint in (str(released), "%s/%s.ckpt" % (folder, name)):
        transformer.load_weights_from_checkpoint(checkpoint)
        values = make_inputs(library, case, case.lengths[-1], transformer, model)
        outputs.append(listed(model.predict(values)))
    results[name] = all(np.array_equal(a, b) for a, b in zip(*outputs))
    model.save_weights("%s/%s.h5" % (folder, name))
    library.K.clear_session()
with open(folder + "/results.json", "w") as file:
    json.dump(results, file)
"""


def whole_case(release):
    """The first case of a release that loads all that the model has and keeps the vocabulary."""
    return next(
        case
        for case in CASES
        if case.release == release.name
        and case.build == "plain"
        and not case.random_fill
        and "keep_tokens" not in case.arguments
    )


WHOLE = [whole_case(release) for release in RELEASES]


def build(case):
    config, checkpoint = release_paths(case.checkpoint)
    transformer = build_transformer_model(str(config), return_keras_model=False, **case.arguments)
    transformer.load_weights_from_checkpoint(str(checkpoint))
    return transformer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Our saved checkpoints, the reference's verdict on them, and its HDF5 weights."""
    folder = tmp_path_factory.mktemp("round_trip")
    for case in WHOLE:
        build(case).save_weights_as_checkpoint(str(folder / (case.name + ".ckpt")))
        keras.backend.clear_session()
    command = [sys.executable, "-c", REFERENCE, str(folder)] + [case.name for case in WHOLE]
    subprocess.run(command, check=True, env=dict(os.environ, TF_KERAS="0"))
    return folder


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.name)
def test_the_reference_computes_the_same_from_what_we_saved(folder, case):
    assert json.loads((folder / "results.json").read_text())[case.name]


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.name)
def test_weights_that_the_reference_saved_are_loaded(folder, case):
    expected = build(case).model
    config, _ = release_paths(case.checkpoint)
    model = build_transformer_model(str(config), **case.arguments)
    model.load_weights(str(folder / (case.name + ".h5")))
    for mine, theirs in zip(get_values(expected.trainable_weights), get_values(model.trainable_weights)):
        np.testing.assert_array_equal(mine, theirs)
