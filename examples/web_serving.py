"""A model behind an address, asked once over HTTP; needs `pip install bert4keras3[serving]`."""

import json
import threading
import time
from urllib.request import urlopen

import numpy as np
from tiny import checkpoint_path, config_path, token_dict

from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import WebServing
from bert4keras3.tokenizers import Tokenizer

tokenizer = Tokenizer(token_dict, do_lower_case=True)
model = build_transformer_model(config_path, checkpoint_path, with_mlm=True)


def fill(text, place):
    """The likeliest token in place of one of the text's."""
    token_ids, segment_ids = tokenizer.encode(text)
    token_ids[place] = tokenizer._token_mask_id
    probas = model.predict([np.array([token_ids]), np.array([segment_ids])], verbose=0)[0, place]
    return tokenizer.id_to_token(int(probas.argmax()))


def ask():
    while not web.server.started:
        time.sleep(0.05)
    port = web.server.servers[0].sockets[0].getsockname()[1]
    try:
        with urlopen(f"http://127.0.0.1:{port}/fill?text=a%20b%20c&place=2") as response:
            answers.append(json.loads(response.read().decode("utf-8")))
    finally:
        web.server.should_exit = True


answers = []
web = WebServing(port=0)
web.route("/fill", fill, {"text": (None, True), "place": (int, True)})
client = threading.Thread(target=ask)
client.start()
web.start()  # in this thread, which made the model
client.join()
assert answers == [{"code": 0, "desc": "succeeded", "data": fill("a b c", 2)}], answers
print("answer:", answers[0]["data"])
