"""Each example runs where it should and nowhere else, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bert4keras3
from bert4keras3.backend import FLAVOUR, framework

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from examples.compatibility import NOT_RUN, NOT_WORKING, PLACES, PUBLISHED  # noqa: E402

NAMES = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if path.stem not in NOT_RUN)
QUICK = ["masked_language_model"]  # the others take 6 to 60 seconds each
PLACE = framework if FLAVOUR == "keras3" else FLAVOUR
pytestmark = pytest.mark.skipif(PLACE in ("openvino", "numpy"), reason="most of the examples train")


def run(name):
    library = str(Path(bert4keras3.__file__).resolve().parents[1])
    path = os.pathsep.join([library, os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, name + ".py"],
        cwd=str(ROOT / "examples"),
        env=dict(
            os.environ, PYTHONPATH=path, OMP_NUM_THREADS="1"
        ),  # tiny models: threads only get in each other's way
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=400,
    )


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_example_works_where_the_table_says(name):
    if name == "web_serving":
        pytest.importorskip("starlette", reason="bert4keras3[serving] is not installed")
        pytest.importorskip("uvicorn", reason="bert4keras3[serving] is not installed")
    result = run(name)
    reason = NOT_WORKING.get(name, {}).get(PLACE)
    output = result.stdout.decode("utf-8", "replace")[-3000:]
    assert (result.returncode == 0) == (reason is None), f"{name} on {PLACE}: {reason}\n{output}"


def test_table_names_examples_and_places():
    assert set(NOT_WORKING) <= set(NAMES)
    assert {place for places in NOT_WORKING.values() for place in places} <= set(PLACES)
    assert PLACE in PLACES


def test_each_of_the_32_published_scripts_has_an_example_in_its_ways():
    assert len(PUBLISHED) == 32
    assert set(PUBLISHED.values()) <= set(NAMES)
