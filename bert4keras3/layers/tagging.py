"""Sequence tagging: losses that learn the transitions between tags."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import Tensor, Tensors, batch_gather, keras, ops, sequence_masking, upcast
from bert4keras3.layers.configuration import ConfiguredLayer


class SequenceTagging(ConfiguredLayer):
    """Base of the tagging layers: it passes scores (batch, length, tags) on, with −inf for masked tokens.

    Its methods are losses and metrics: compile(loss=layer.sparse_loss, metrics=[layer.sparse_accuracy]). A sparse loss
    takes integer tags, (batch, length) or (batch, length, 1); a dense loss takes probabilities, (batch, length, tags).
    Masked tokens do not count.

    Args:
        lr_multiplier: the weights are stored divided by it, so that they learn so many times faster.
    """

    def __init__(self, lr_multiplier: float = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lr_multiplier = lr_multiplier

    def add_scaled_weight(self, name, shape):
        glorot_uniform = keras.initializers.VarianceScaling(
            scale=self.lr_multiplier**-2, mode="fan_avg", distribution="uniform"
        )
        return self.add_weight(name=name, shape=shape, initializer=glorot_uniform)

    def scale(self, weight: Any) -> Tensor:
        """A weight times lr_multiplier, at least in float32."""
        weight = upcast(weight)  # losses are computed in float32
        return weight if self.lr_multiplier == 1 else weight * self.lr_multiplier

    def call(self, inputs, mask=None):
        return sequence_masking(inputs, mask, float("-inf"), 1)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def find_mask(self, y_pred):
        """True if the scores of a token are not masked: (batch, length)."""
        return ops.all(ops.not_equal(y_pred, float("-inf")), axis=2)

    def to_tags(self, y_true, y_pred):
        """Integer tags, (batch, length)."""
        return ops.cast(ops.reshape(y_true, ops.shape(y_pred)[:2]), "int32")

    def masked_mean(self, x, mask):
        mask = ops.cast(mask, x.dtype)
        return ops.sum(x * mask) / ops.maximum(ops.sum(mask), 1)

    def tag_accuracy(self, y_true, scores, mask):
        """Share of the unmasked tokens whose best tag is the true one."""
        right = ops.equal(y_true, ops.cast(ops.argmax(scores, axis=2), "int32"))
        return self.masked_mean(ops.cast(right, scores.dtype), mask)

    def dense_accuracy(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """`sparse_accuracy` for one-hot y_true (batch, length, tags)."""
        return self.sparse_accuracy(ops.argmax(y_true, axis=2), y_pred)


class ConditionalRandomField(SequenceTagging):
    """Linear-chain CRF: −log p(tags) with p ∝ exp(Σ scores + Σ trans[tag, next tag]).

    https://en.wikipedia.org/wiki/Conditional_random_field . Losses are (batch,). Accuracy uses the best tag of each
    token without transitions. A Viterbi decoder takes `trans`, (tags, tags).
    """

    def build(self, input_shape: Any) -> None:
        tags = input_shape[-1]
        self._trans = self.add_scaled_weight("trans", (tags, tags))
        self.built = True

    @property
    def trans(self) -> Tensor:
        """Scores of the transitions from a tag to the next: (tags, tags)."""
        return self.scale(self._trans)

    def target_score(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Sum of the scores along the true path y_true (batch, length, tags): (batch,)."""
        points = ops.einsum("bni,bni->b", y_true, y_pred)
        steps = ops.einsum("bni,ij,bnj->b", y_true[:, :-1], ops.convert_to_tensor(self.trans), y_true[:, 1:])
        return points + steps

    def log_norm(self, y_pred: Tensor, mask: Tensors) -> Tensor:
        """Logarithm of the sum over all paths: (batch,).

        Args:
            y_pred: scores (batch, length, tags), 0 for masked tokens.
            mask: (batch, length, 1) of 0 and 1.
        """
        trans = ops.expand_dims(self.trans, 0)  # (1, tag, next tag)

        def step(carry, x):
            score, reached = carry  # of the paths that end with a tag; of the paths that continue with it
            y, keep = x[:, :-1], x[:, -1:]
            score = keep * (reached + y) + (1 - keep) * score
            reached = ops.logsumexp(ops.expand_dims(score, 2) + trans, axis=1)
            return [score, reached], [score, reached]

        start = ops.zeros_like(y_pred[:, 0])  # (batch, tags)
        # one tensor: keras.ops.scan of several fails on TensorFlow if the length is unknown
        steps = ops.transpose(ops.concatenate([y_pred, mask], axis=2), (1, 0, 2))  # (length, batch, tags + 1)
        (score, _), _ = ops.scan(step, [start, start], steps)
        return ops.logsumexp(score, axis=1)

    def dense_loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """−log P(true path) of each sequence, (batch,), for one-hot y_true (batch, length, tags)."""
        y_pred = upcast(y_pred)
        mask = ops.expand_dims(self.find_mask(y_pred), 2)  # (batch, length, 1)
        y_true = ops.where(mask, ops.cast(y_true, y_pred.dtype), 0.0)
        y_pred = ops.where(mask, y_pred, 0.0)
        return self.log_norm(y_pred, ops.cast(mask, y_pred.dtype)) - self.target_score(y_true, y_pred)

    def sparse_loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """`dense_loss` for integer y_true (batch, length)."""
        return self.dense_loss(ops.one_hot(self.to_tags(y_true, y_pred), y_pred.shape[-1]), y_pred)

    def sparse_accuracy(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Share of tokens whose best tag, without transitions, is the true one; y_true: (batch, length)."""
        return self.tag_accuracy(self.to_tags(y_true, y_pred), y_pred, self.find_mask(y_pred))


class MaximumEntropyMarkovModel(SequenceTagging):
    """Mean of two models of a tag given the tag before and the tag after it: https://kexue.fm/archives/7213

    It is like a CRF without recursion. Losses are scalars.

    Args:
        lr_multiplier: as in ConditionalRandomField.
        hidden_dim: rank of the transitions, which are the matmul of `l_trans` and `r_trans`; None: a full matrix
            `trans`.
    """

    def __init__(self, lr_multiplier: float = 1, hidden_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(lr_multiplier, **kwargs)
        self.hidden_dim = hidden_dim

    def build(self, input_shape: Any) -> None:
        tags = input_shape[-1]
        if self.hidden_dim is None:
            self._trans = self.add_scaled_weight("trans", (tags, tags))
        else:
            self._l_trans = self.add_scaled_weight("l_trans", (tags, self.hidden_dim))
            self._r_trans = self.add_scaled_weight("r_trans", (tags, self.hidden_dim))
        self.built = True

    @property
    def trans(self) -> Tensor:
        """Scores of the transitions from a tag to the next: (tags, tags)."""
        return self.scale(self._trans)

    @property
    def l_trans(self) -> Tensor:
        """Left factor of the transitions: (tags, hidden_dim)."""
        return self.scale(self._l_trans)

    @property
    def r_trans(self) -> Tensor:
        """Right factor of the transitions: (tags, hidden_dim)."""
        return self.scale(self._r_trans)

    def reverse_sequence(self, inputs: Tensors, mask: Tensors = None) -> Tensor:
        """Reverse the unmasked tokens of tensors (batch, length, …); padding stays at the end."""
        if mask is None:
            return [x[:, ::-1] for x in inputs]
        count = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)  # (batch, 1)
        places = ops.expand_dims(ops.arange(0, ops.shape(inputs[0])[1], dtype="int32"), 0)
        places = ops.where(ops.less(places, count), count - 1 - places, places)  # (batch, length)
        return [batch_gather(x, places) for x in inputs]

    def predict_tags(self, y_true: Tensor, y_pred: Tensor, go_backwards: bool) -> Tensor:
        """Tags, scores given the true previous tag, and the mask, in the order of the direction."""
        y_pred = upcast(y_pred)
        mask = self.find_mask(y_pred)
        y_true = self.to_tags(y_true, y_pred)
        if go_backwards:
            y_true, y_pred, mask = self.reverse_sequence([y_true, y_pred, mask], mask)
        if self.hidden_dim is None:
            trans = ops.transpose(self.trans) if go_backwards else self.trans
            history = ops.take(trans, y_true, axis=0)  # (batch, length, tags)
        else:
            left, right = self.l_trans, self.r_trans
            if go_backwards:
                left, right = right, left
            history = ops.matmul(ops.take(left, y_true, axis=0), ops.transpose(right))
        history = ops.concatenate([y_pred[:, :1], history[:, :-1]], axis=1)
        return y_true, (y_pred + history) / 2, mask

    def basic_loss(self, y_true: Tensor, y_pred: Tensor, go_backwards: bool = False) -> Tensor:
        """Mean cross entropy in one direction; tags are integers."""
        y_true, scores, mask = self.predict_tags(y_true, y_pred, go_backwards)
        scores = ops.where(ops.expand_dims(mask, 2), scores, 0.0)
        true = batch_gather(scores, ops.expand_dims(y_true, 2))[..., 0]
        return self.masked_mean(ops.logsumexp(scores, axis=2) - true, mask)

    def basic_accuracy(self, y_true: Tensor, y_pred: Tensor, go_backwards: bool = False) -> Tensor:
        """Accuracy in one direction; tags are integers."""
        return self.tag_accuracy(*self.predict_tags(y_true, y_pred, go_backwards))

    def sparse_loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Mean of −log P(tag) over the tokens, a scalar, for integer y_true (batch, length)."""
        return (self.basic_loss(y_true, y_pred, False) + self.basic_loss(y_true, y_pred, True)) / 2

    def dense_loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """`sparse_loss` for one-hot y_true (batch, length, tags)."""
        return self.sparse_loss(ops.argmax(y_true, axis=2), y_pred)

    def sparse_accuracy(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Share of tokens whose best tag given the true previous tag is right; mean of both directions."""
        return (self.basic_accuracy(y_true, y_pred, False) + self.basic_accuracy(y_true, y_pred, True)) / 2
