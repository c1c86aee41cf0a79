"""Viterbi decoding: the best path through scores of labels and of transitions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np


class ViterbiDecoder:
    """Viterbi decoding: https://doi.org/10.1109/TIT.1967.1054010

    Args:
        trans: (labels, labels) scores of the transitions from row to column.
        starts: labels that a path may start with; None: all.
        ends: labels that a path may end with; None: all.
    """

    def __init__(
        self, trans: Any, starts: Collection[int] | None = None, ends: Collection[int] | None = None
    ) -> None:
        self.trans = trans
        self.num_labels = len(trans)
        self.non_starts = self._without(starts)
        self.non_ends = self._without(ends)

    def _without(self, allowed: Collection[int] | None) -> list[int]:
        labels = range(self.num_labels)
        return [label for label in labels if allowed is not None and label not in allowed]

    def decode(self, nodes: np.ndarray) -> np.ndarray:
        """Scores (length, labels) → labels (length,) of the best path.

        If several paths are best, it is the one with the lowest last label, then the lowest label before it, and so on.

        `nodes` is not changed (bert4keras writes -inf into it).

        Raises:
            ValueError: the shape is wrong.
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
