"""The folder of a replay: script, inputs, expected numbers, and a README that says in words what is wrong."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np

from parity.compare import BOUND, FLOOR
from parity.store import write_whole
from parity.subsample import LAYER_SAMPLE, rms, sample, sample_output

SCRIPT = Path(__file__).with_name("replay.py")
MOST_BYTES = 100_000


def write_replay(folder, small, judged, readme):
    """The replay of a small case, whose right numbers the definition of the wrong layer gives."""
    right = dict(judged.direction, expected=judged.expected.ravel(), places=np.arange(judged.expected.size))
    write_files(folder, small, judged.given, right, judged.noise, readme)


def write_golden_replay(folder, small, given, computed_shape, golden, metadata, readme):
    """The replay of a whole case, with the golden's sample of the wrong layer, or of the first output."""
    name = f"{small.case.lengths[-1]}/" + (f"layer/{small.layer}" if small.layer else "output/0")
    if small.layer:
        places = sample(np.arange(np.prod(computed_shape)), LAYER_SAMPLE)
        noise = float(np.max(golden[name + "@noise"]))
    else:
        numbers = np.arange(np.prod(metadata["shapes"][name])).reshape(metadata["shapes"][name])
        places = sample_output(numbers, small.values[metadata["token_input"]])
        noise = rms([golden[name + "@float32"].astype("float64") - golden[name]])
    right = dict(expected=golden[name], places=places.astype(int))
    write_files(folder, small, given, right, max(noise, FLOOR * rms([golden[name]])), readme)


def write_files(folder, small, given, right, noise, readme):
    """Write the files in place of an older replay. Raises ValueError if they are too large, and leaves no folder."""
    shutil.rmtree(str(folder), ignore_errors=True)
    case = {"layer": small.layer, "gelu": small.case.gelu, "arguments": small.case.arguments}
    case.update(noise=noise, bound=BOUND)
    files = {"README.md": readme.encode("utf-8"), SCRIPT.name: SCRIPT.read_bytes()}
    for name, content in (("config", small.config), ("case", case)):
        files[name + ".json"] = json.dumps(content, indent=1, sort_keys=True).encode("utf-8")
    inputs = {str(i): value for i, value in enumerate(small.values)}
    weights = {name: np.asarray(value, "float32") for name, value in small.weights.items()}
    for name, arrays in (("inputs", inputs), ("given", given), ("right", right), ("weights", weights)):
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        files[name + ".npz"] = file.getvalue()
    size = sum(map(len, files.values()))
    if size > MOST_BYTES:
        raise ValueError(f"{folder}: {size} bytes, expected at most {MOST_BYTES}")
    for name, content in files.items():
        write_whole(folder / name, lambda file, content=content: file.write(content))
