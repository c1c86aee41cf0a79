"""A game from its records: a language model of moves, which then says which of the legal moves is the best.

A move is two letters; the winning answer to a move is the next letter of the alphabet, twice.
"""

import numpy as np
from tiny import checkpoint_path, config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.layers import Loss
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import DataGenerator, sequence_padding
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
characters = ["[PAD]"] + list("abcdefgh")
tokenizer = Tokenizer({character: i for i, character in enumerate(characters)})
tokenizer._token_unk_id = 0
keep_tokens = [token_dict[character] for character in characters]


def game():
    start = np.random.randint(0, 5)
    return "".join(2 * "abcdefgh"[start + i] for i in range(np.random.randint(3, 5 if start == 4 else 4)))


class Games(DataGenerator):
    def __iter__(self, random=False):
        batch = []
        for is_end, text in self.sample(random):
            token_ids, segment_ids = tokenizer.encode(" ".join(text))
            batch.append(([0] + token_ids[1:-1], [0] + segment_ids[1:-1]))
            if len(batch) == self.batch_size or is_end:
                yield [sequence_padding(list(one), length=9) for one in zip(*batch)], None
                batch = []


class CrossEntropy(Loss):
    def compute_loss(self, inputs, mask=None):
        y_true, y_pred = inputs
        y_mask = 1.0 if mask[1] is None else K.cast(mask[1], K.floatx())[:, 1:]
        loss = K.sparse_categorical_crossentropy(y_true[:, 1:], y_pred[:, :-1])
        return K.sum(loss * y_mask) / K.sum(y_mask)


player = build_transformer_model(config_path, checkpoint_path, application="lm", keep_tokens=keep_tokens)
model = keras.models.Model(player.inputs, CrossEntropy(1)([player.inputs[0], player.outputs[0]]))
model.compile(optimizer=keras.optimizers.Adam(3e-3))
games = Games([game() for _ in range(256)], 32)
model.fit(games.forfit(), steps_per_epoch=len(games), epochs=12, verbose=0)


def best_move(history, moves):
    """The move that the model thinks the most probable after this history."""
    token_ids = np.array([[0] + tokenizer.encode(" ".join(history + move))[0][1:-1] for move in moves])
    probas = player.predict([token_ids, 0 * token_ids], verbose=0)[:, -3:-1]
    probas = np.take_along_axis(probas, token_ids[:, -2:, None], axis=2)[..., 0]
    return moves[np.log(probas + 1e-8).sum(axis=1).argmax()]


moves = [2 * letter for letter in "abcdefgh"]
answers = [best_move(2 * letter, moves) for letter in "abcde"]
right = np.mean([answer == 2 * following for answer, following in zip(answers, "bcdef")])
assert right > 0.7, answers
print(f"right answers: {right:.2f}")
