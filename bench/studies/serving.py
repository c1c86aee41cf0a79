"""Serving: callers of `WebServing` that share calls, and callers that are answered one by one.

    python -m bench.studies.serving sentiment.zip [--callers 32] [--rounds 3]     in the environment of a pairing

Each caller asks for the vectors of reviews, one after the other, of a BERT-base with random weights. It needs
bert4keras3[serving].
"""

import argparse
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np

from bench.studies import Study, interleave, ratio_to
from bench.studies.reviews import first_texts, make_tokenizer
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import WebServing
from bert4keras3.text_encoder import TextEncoder
from parity.models.releases import BY_NAME

LENGTH = 128
SHARED, ALONE = "shared calls", "one by one"


def ask(address):
    """(seconds, the vector) of a request."""
    start = time.perf_counter()
    with urlopen(address, timeout=600) as response:
        vector = json.loads(response.read())["data"]
    return time.perf_counter() - start, vector


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", help="sentiment.zip")
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--requests", type=int, default=4, help="of each caller")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts = first_texts(options.archive, options.callers * options.requests)
    release = BY_NAME["bert_base"]
    transformer = build_transformer_model(**release.config, return_keras_model=False)
    encoder = TextEncoder(transformer, make_tokenizer(texts, release.config["vocab_size"]), max_length=LENGTH)

    def encode(text):
        return encoder.encode(text, show_progress=False).tolist()

    web = WebServing(port=0)
    web.route("/one", encode, {"text": (None, True)})
    web.route("/shared", encode, {"text": (None, True)}, max_batch=options.callers)
    thread = threading.Thread(target=web.start)
    thread.start()
    while not web.server.started:
        time.sleep(0.01)
    port = web.server.servers[0].sockets[0].getsockname()[1]

    def serve(path):
        addresses = [f"http://127.0.0.1:{port}/{path}?{urlencode({'text': text})}" for text in texts]
        start = time.perf_counter()
        with ThreadPoolExecutor(options.callers) as pool:
            answers = list(pool.map(ask, addresses))
            seconds = time.perf_counter() - start
        waits, vectors = zip(*answers)
        return seconds, np.array(waits), np.array(vectors)

    candidates = {SHARED: lambda: serve("shared"), ALONE: lambda: serve("one")}
    found = interleave(candidates, options.rounds, warm_up=2)  # which compile
    web.server.should_exit = True
    thread.join()
    study, seconds = Study("serving", options.rounds), {}
    for name, rounds in found.items():
        np.testing.assert_allclose(rounds[0][2], found[ALONE][0][2], atol=1e-3)
        seconds[name] = [one[0] for one in rounds]
        waits = np.concatenate([one[1] for one in rounds])
        case = f"{options.callers} callers"
        against = ratio_to(seconds[SHARED], seconds[name], SHARED) if name != SHARED else {}
        study.add(case, name, "requests", len(texts) / np.median(seconds[name]), "requests/s", **against)
        for percent in (50, 95):
            study.add(case, name, f"p{percent}", np.percentile(waits, percent), "s")
    study.write()


if __name__ == "__main__":
    main()
