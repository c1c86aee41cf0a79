"""The weights of a scenario as files in `.cache/bench/`, in each format that an implementation loads."""

import shutil

import numpy as np

from parity.models.random_weights import random_value
from parity.models.variables import release_variables
from parity.store import ROOT, write_json

FOLDER = ROOT / ".cache" / "bench"


def weights_folder(scenario, form):
    """The folder of the weights of a scenario in a format."""
    return FOLDER / scenario.release.name / form


def remove_weights(scenario):
    """Remove the files of a scenario in every format."""
    shutil.rmtree(str(FOLDER / scenario.release.name), ignore_errors=True)


def free_disk():
    """Bytes that are free where the weights lie."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(str(FOLDER)).free


def random_arrays(release):
    """Yield (name, array) of all variables, one at a time."""
    for name, shape in release_variables(release):
        yield name, np.asarray(random_value(name, shape))


def make_weights(scenario, adapter):
    """Have an adapter write the weights in its format, unless they exist. Returns: whether it wrote them."""
    folder = weights_folder(scenario, adapter.FORMAT)
    if folder.exists():
        return False
    beside = folder.with_name(folder.name + ".part")
    shutil.rmtree(str(beside), ignore_errors=True)
    beside.mkdir(parents=True)
    write_json(beside / "config.json", scenario.release.config)
    adapter.convert(scenario, beside)
    beside.rename(folder)
    return True
