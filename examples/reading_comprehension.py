"""The answer to a question about a text, written in place of masks that UniLM reads both ways."""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.models import build_transformer_model
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
MASK = tokenizer._token_mask_id


def sample():
    """Text such as "a 3 b 5", the question "b ?", its answer 5."""
    names, values = np.random.permutation(list("abc"))[:2], np.random.choice(list("123456"), 2)
    asked = np.random.randint(2)
    text = " ".join("{} {}".format(*pair) for pair in zip(names, values))
    token_ids, segment_ids = tokenizer.encode(text, names[asked])
    answer = tokenizer.token_to_id(values[asked])
    return token_ids + [MASK], segment_ids + [1], answer


token_ids, segment_ids, answers = [np.array(one) for one in zip(*[sample() for _ in range(1024)])]
targets = np.where(token_ids == MASK, answers[:, None], 0)


def masked_cross_entropy(y_true, y_pred):
    """Of the places with an answer; 0 is none."""
    y_true = K.reshape(y_true, K.shape(y_pred)[:-1])
    y_mask = K.cast(K.not_equal(y_true, 0), K.floatx())
    loss = K.sparse_categorical_crossentropy(y_true, y_pred)
    return loss * y_mask / K.mean(y_mask)  # of each place, since keras 2.3.1 weighs the places by their mask


model = build_transformer_model(config_path, application="unilm")
model.compile(loss=masked_cross_entropy, optimizer=keras.optimizers.Adam(3e-3))
model.fit([token_ids[:960], segment_ids[:960]], targets[:960, :, None], epochs=12, batch_size=32, verbose=0)

probas = model.predict([token_ids[960:], segment_ids[960:]], verbose=0)[:, -1]
accuracy = (probas.argmax(axis=-1) == answers[960:]).mean()
assert accuracy > 0.4, accuracy  # 1 / 6 by chance
print(f"answers right: {accuracy:.2f}")
