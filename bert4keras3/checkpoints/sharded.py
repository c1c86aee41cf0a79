"""Checkpoints of several files, whose index, `X.index.json`, says in which file each variable lies."""

import json
import os

from .checkpoint import Checkpoint
from .errors import CheckpointError, damaged


def _is_weights(name):
    """Whether this is the name of a file of the same folder, and of no other index."""
    return os.path.basename(name) == name and name.endswith((".safetensors", ".bin"))


class ShardedCheckpoint(Checkpoint):
    """`model.safetensors.index.json` or `pytorch_model.bin.index.json` with its shards.

    Args:
        path: path of the index.
        open_file: opens one shard.
    """

    def __init__(self, path, open_file):
        try:
            with open(path, encoding="utf-8") as file:
                places = json.load(file)["weight_map"]
            names = {name: shard for name, shard in places.items() if _is_weights(shard)}
            if not names or len(names) < len(places):
                raise ValueError("its weight_map names no files of the same folder")
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise damaged(path, f"expected a weight_map {{variable: file}}, got {error!r}") from error
        paths = {shard: os.path.join(os.path.dirname(path), shard) for shard in sorted(set(names.values()))}
        missing = [shard for shard, place in paths.items() if not os.path.isfile(place)]
        if missing:
            raise CheckpointError(
                f"'{path}' names {len(paths)} files, and {len(missing)} of them do not exist, such as "
                f"'{missing[0]}'. Download them into its folder"
            )
        shards = {shard: open_file(place) for shard, place in paths.items()}
        self._shards = {name: shards[shard] for name, shard in names.items()}
        for name, shard in names.items():
            if name not in shards[shard]:
                raise damaged(path, f"it says that {name!r} lies in '{shard}', which has no such variable")
        super().__init__(path, {name: shard.shape(name) for name, shard in self._shards.items()})

    def _read(self, name):
        return self._shards[name][name]

    def _read_lazily(self, name):
        return self._shards[name]._read_lazily(name)
