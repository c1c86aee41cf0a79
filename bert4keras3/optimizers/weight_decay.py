"""Decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bert4keras3.optimizers.extending import Extension, extend_with
from bert4keras3.optimizers.steps import Change, paths
from bert4keras3.snippets import string_matching


class WeightDecay(Extension):
    """Decoupled weight decay, https://arxiv.org/abs/1711.05101 : w_new ← w_new − lr · weight_decay_rate · w

    w is the weight before the step. Keras's AdamW decays before its update; for Adam the result is the same. An
    extension outside this one scales the decay too. With a lookahead inside, a step changes the weights twice and the
    weights decay twice, as in bert4keras.

    Args:
        weight_decay_rate: decay per step, relative to the learning rate.
        exclude_from_weight_decay: regular expressions, [] by default; a variable decays unless one matches a part of
            its path, such as "Transformer-0-FeedForward-Norm/gamma".
    """

    arguments = {"weight_decay_rate": 0.01}

    def __init__(self, *args: Any, exclude_from_weight_decay: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._exclude_from_decay = list(exclude_from_weight_decay)  # Keras has a method with the longer name

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            super().build(variables)
            excluded = self._exclude_from_decay
            self._is_decayed = [not string_matching(path, excluded) for path in paths(variables)]

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        rate, is_decayed = learning_rate * self.weight_decay_rate, self.of(self._is_decayed, variables)
        for change in super().changes(gradients, variables, learning_rate):
            yield change.decay(rate, is_decayed)

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config(), exclude_from_weight_decay=list(self._exclude_from_decay))


extend_with_weight_decay = extend_with_weight_decay_v2 = extend_with("weight_decay", WeightDecay)
