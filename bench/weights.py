"""The weights of a scenario as files in `.cache/bench/`, in each format that an implementation loads."""

import shutil

import numpy as np

from parity.models.random_weights import random_value
from parity.models.variables import release_variables
from parity.store import ROOT, release_paths, write_json

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


def iterate_weights(release):
    """Yield (name, array) of all variables of a release, one at a time.

    Weights are random by the name of the variable, in the committed files too; a release without a configuration of
    ours has files alone.
    """
    if release.config and not release.folder:
        for name, shape in release_variables(release):
            yield name, np.asarray(random_value(name, shape))
    else:
        from bert4keras3.checkpoints import open_checkpoint  # without Keras

        yield from open_checkpoint(str(release_paths(release)[1])).items()


def make_weights(scenario, adapter):
    """Have an adapter write the weights in its format, unless they exist. Returns: whether it wrote them."""
    folder = weights_folder(scenario, adapter.FORMAT)
    if folder.exists():
        return False
    beside = folder.with_name(folder.name + ".part")
    shutil.rmtree(str(beside), ignore_errors=True)
    beside.mkdir(parents=True)
    write_weights(scenario, adapter, beside)
    beside.rename(folder)
    return True


def write_weights(scenario, adapter, folder):
    write_json(folder / "config.json", scenario.config)
    adapter.convert(scenario, folder)
