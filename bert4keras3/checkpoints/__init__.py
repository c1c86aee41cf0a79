"""TensorFlow checkpoints without TensorFlow; also dicts, `.npz`, `.safetensors` and `pytorch_model.bin`, behind one
interface::

    checkpoint = open_checkpoint("chinese_L-12_H-768_A-12/bert_model.ckpt")
    checkpoint["bert/embeddings/word_embeddings"]          # read-only, mapped from the file, checksum checked
    save_checkpoint("mine/bert_model.ckpt", checkpoint.items(), dtype="float16")

Reading: table.py (the index) → bundle.py (variables and shards) → mapped_file.py, dtypes.py (bytes → array).
"""

from __future__ import annotations

import os
from typing import Any, Iterable, Mapping

from .bundle import BundleCheckpoint
from .bundle_writer import write_bundle
from .checkpoint import ArrayCheckpoint, Checkpoint
from .diagnosis import explain_path
from .errors import CheckpointError, VariableNotFoundError, system_errors_named
from .huggingface import find_weights
from .npz import NpzCheckpoint
from .pickled import PickledCheckpoint
from .safetensors import SafetensorsCheckpoint
from .sharded import ShardedCheckpoint

__all__ = ["Checkpoint", "CheckpointError", "VariableNotFoundError", "open_checkpoint", "save_checkpoint"]

READERS = {
    ".npz": NpzCheckpoint,
    ".safetensors": SafetensorsCheckpoint,
    ".index.json": lambda path: ShardedCheckpoint(path, open_checkpoint),
    ".bin": PickledCheckpoint,
    ".pt": PickledCheckpoint,
    ".pth": PickledCheckpoint,
}


def open_checkpoint(checkpoint: Any) -> Any:
    """Open the weights of a model as a read-only mapping from names to arrays.

    Args:
        checkpoint: prefix of a TensorFlow V2 checkpoint (`X` for `X.index` and `X.data-…`), path of a `.npz`, a
            `.safetensors`, a `pytorch_model.bin`, an index of shards (`.index.json`) or a folder with one of them, or a
            dict of arrays.

    Returns:
        A `Checkpoint`; looking up an unknown name raises VariableNotFoundError.

    Raises:
        CheckpointError: the files are missing, damaged or of another format.
    """
    if isinstance(checkpoint, Checkpoint):
        return checkpoint
    if isinstance(checkpoint, Mapping):
        return ArrayCheckpoint(checkpoint)
    path = _as_path(checkpoint)
    with system_errors_named(path, "open"):
        if os.path.isfile(path + ".index"):
            return BundleCheckpoint(path)
        weights = find_weights(path) if os.path.isdir(path) else None
        if weights:
            return open_checkpoint(weights)
        for ending, kind in READERS.items():
            if os.path.isfile(path) and path.endswith(ending):
                return kind(path)
        raise CheckpointError(explain_path(path))


def save_checkpoint(path: str, variables: Iterable[tuple[str, Any]], dtype: str | None = None) -> None:
    """Write a TensorFlow V2 checkpoint, which TensorFlow 1.15 and later read.

    Args:
        path: the prefix, `X` for `X.index` and `X.data-00000-of-00001`. Either both old files are replaced or neither.
        variables: (name, array) pairs, for instance a generator; one array is in memory at a time.
        dtype: dtype of all variables of floats: 'float16', 'bfloat16', 'float32' or 'float64'; None: no conversion.

    Raises:
        CheckpointError: a name, an array or the path cannot be written. Exceptions of `variables` pass through.
    """
    write_bundle(_as_path(path), variables, dtype)


def _as_path(path):
    try:
        path = os.fsdecode(path)
        os.fsencode(path)
    except (TypeError, UnicodeError) as error:
        raise CheckpointError(f"expected a path or a dict of arrays, got {path!r}") from error
    if "\0" in path or not path:
        raise CheckpointError(f"expected a path, got {path!r}")
    return path
