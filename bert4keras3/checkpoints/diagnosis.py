"""Error messages for a path that is not a checkpoint: what is there, and what to write instead."""

import difflib
import os
import re

from .table import is_table

BUNDLE_FILE = re.compile(r"^(.+)\.(index|meta|data-\d{5}-of-\d{5})$", re.DOTALL)
SHOWN = 5

CONVERSION = """
    import tensorflow as tf
    from bert4keras3.checkpoints import save_checkpoint
    old = tf.train.load_checkpoint({path!r})
    names = old.get_variable_to_shape_map()
    save_checkpoint({new_path!r}, ((name, old.get_tensor(name)) for name in names))"""


def explain_path(path):
    """Message for a path that cannot be opened."""
    part = BUNDLE_FILE.match(path)
    if os.path.isdir(path):
        return f"'{path}' is a folder, expected the prefix of a checkpoint. {_contents(path)}"
    if part and (os.path.exists(part.group(1) + ".index") or os.path.exists(path)):
        prefix = part.group(1)
        missing = "" if os.path.exists(prefix + ".index") else f" ('{prefix}.index' is missing, too)"
        return f"'{path}' is one file of a checkpoint. Give the prefix of its files: '{prefix}'{missing}"
    if os.path.isfile(path):
        if is_table(path):
            steps = CONVERSION.format(path=path, new_path=path + "-v2")
            return f"'{path}' is a V1 checkpoint of TensorFlow, expected V2. Convert it once:{steps}"
        return f"'{path}' is not a checkpoint, expected a TensorFlow V2 prefix, a .npz, .safetensors or .bin file"
    folder, name = os.path.split(path)
    if not os.path.isdir(folder or "."):
        return f"'{path}' does not exist, nor does its folder. Check the path"
    files = os.listdir(folder or ".")
    if any(file.startswith(name + ".data-") for file in files):
        return f"'{path}.index' is missing, but its data file exists. Copy the index next to the data"
    near = difflib.get_close_matches(name, _checkpoints(files), n=SHOWN, cutoff=0.4)
    if near:
        return f"there is no checkpoint '{path}'. Similar names in its folder: {_listed(near)}"
    return f"there is no checkpoint '{path}'. {_contents(folder or '.')}"


def _contents(folder):
    found = _checkpoints(os.listdir(folder))
    if not found:
        return f"There is no checkpoint in '{folder}' either"
    return f"Found there: {_listed([os.path.join(folder, name) for name in found])}"


def _checkpoints(files):
    prefixes = [file[: -len(".index")] for file in files if file.endswith(".index")]
    return sorted(prefixes + [file for file in files if file.endswith((".npz", ".safetensors"))])


def _listed(names):
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more
