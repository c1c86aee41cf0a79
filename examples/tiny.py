"""Where the examples find tiny models with random weights, 120 tokens and 12 positions, and words for their data.

To import it makes the random numbers of the framework the same in each run, where Keras can.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bert4keras3.backend import keras  # noqa: E402

if hasattr(keras.utils, "set_random_seed"):
    keras.utils.set_random_seed(0)

GOLDENS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "parity", "goldens")
CHECKPOINTS = os.path.join(GOLDENS, "checkpoints")

config_path = os.path.join(CHECKPOINTS, "google_bert", "bert_config.json")
checkpoint_path = os.path.join(CHECKPOINTS, "google_bert", "bert_model.ckpt")

with open(os.path.join(GOLDENS, "vocab.txt"), encoding="utf-8") as _file:
    token_dict = {token: i for i, token in enumerate(_file.read().split("\n")[:120])}


def checkpoint(folder, config, prefix):
    """Paths of the configuration and the checkpoint of another family."""
    return os.path.join(CHECKPOINTS, folder, config), os.path.join(CHECKPOINTS, folder, prefix)


def relation_sentence(random):
    """A name, a relation (+ or -) and another name, "a + x", with filling before them; and the triple as places of
    tokens: (subject, relation, object).
    """
    filling = ["."] * random.randint(0, 3)
    subject, relation, thing = random.choice(list("abcd")), random.randint(2), random.choice(list("wxyz"))
    place = len(filling) + 1
    return " ".join(filling + [subject, "+-"[relation], thing]), (place, relation, place + 2)
