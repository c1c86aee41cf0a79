"""The best path through scores of labels and of steps between them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np


class ViterbiDecoder:
    """Viterbi decoding: https://doi.org/10.1109/TIT.1967.1054010"""

    def __init__(
        self, trans: Any, starts: Collection[int] | None = None, ends: Collection[int] | None = None
    ) -> None:
        """`trans` (labels, labels): score of a step from row to column. None: any label may start, or end."""
        self.trans = trans
        self.num_labels = len(trans)
        self.non_starts = self._without(starts)
        self.non_ends = self._without(ends)

    def _without(self, allowed: Collection[int] | None) -> list[int]:
        labels = range(self.num_labels)
        return [label for label in labels if allowed is not None and label not in allowed]

    def decode(self, nodes: np.ndarray) -> np.ndarray:
        """Scores (length, labels) → the labels (length,) of the best path, of several the one lowest from the end.

        `nodes` stays as it is (the reference writes -inf into it). ValueError if its shape is another one.
        """
        nodes = np.array(nodes, dtype=np.result_type(np.asarray(nodes).dtype, np.float32))
        if nodes.ndim != 2 or nodes.shape[1] != self.num_labels or not len(nodes):
            raise ValueError(
                f"ViterbiDecoder: expected nodes (length, {self.num_labels}), at least 1 long, got {nodes.shape}"
            )
        nodes[0, self.non_starts] = -np.inf
        nodes[-1, self.non_ends] = -np.inf

        scores, origins = nodes[0], []
        for node in nodes[1:]:
            candidates = scores[:, None] + self.trans + node  # (from, to)
            origins.append(candidates.argmax(axis=0))
            scores = candidates.max(axis=0)

        path = [scores.argmax()]
        for origin in reversed(origins):
            path.append(origin[path[-1]])
        return np.array(path[::-1])
