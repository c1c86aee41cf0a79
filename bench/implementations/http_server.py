"""Vectors of sentences over HTTP: POST /embed {"inputs": [[ids of a text], …], "normalize": false} → [[numbers], …].

text-embeddings-inference answers such requests, and so does WebServing with the function below.
"""

import json
import os
import threading
import time
from urllib.request import Request, urlopen

import numpy as np

from bench.implementations import Unsupported
from bench.implementations.adapter import Adapter

VARIABLE = "BERT4KERAS3_EMBEDDING_SERVER"
SECONDS = 60


class EmbeddingServer(Adapter):
    """The server at the address in BERT4KERAS3_EMBEDDING_SERVER, which has all-MiniLM-L6-v2 loaded."""

    FORMAT = "server"

    def convert(self, scenario, folder):
        """The server has its own files."""

    def load(self, scenario, folder):
        refuse(scenario)
        if VARIABLE not in os.environ:
            raise Unsupported(f"no server: set {VARIABLE} to its address, such as http://127.0.0.1:8080")
        self.address = os.environ[VARIABLE]

    def outputs(self, inputs):
        texts = [[int(one) for one in row if one] for row in inputs[0]]
        body = json.dumps({"inputs": texts, "normalize": False}).encode()
        request = Request(self.address.rstrip("/") + "/embed", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=SECONDS) as response:
            answer = json.loads(response.read().decode())
        return [np.array(answer["data"] if isinstance(answer, dict) else answer)]


class WebServingOfOurs(EmbeddingServer):
    """WebServing with bert4keras3, in a thread of this process."""

    def convert(self, scenario, folder):
        refuse(scenario)
        Adapter.convert(self, scenario, folder)

    def load(self, scenario, folder):
        from bert4keras3.models import build_transformer_model
        from bert4keras3.snippets import WebServing

        refuse(scenario)
        model = build_transformer_model(str(folder / "config.json"), str(folder / self.CHECKPOINT))

        def embed(inputs, normalize):
            tokens = np.zeros((len(inputs), max(map(len, inputs))), "int32")
            for row, ids in zip(tokens, inputs):
                row[: len(ids)] = ids
            seen = (tokens != 0)[..., None]
            hidden = model.predict([tokens, 0 * tokens], verbose=0)
            return ((hidden * seen).sum(1) / seen.sum(1)).tolist()

        web = WebServing(port=0)
        web.route("/embed", embed, {"inputs": (list, True), "normalize": (bool, True)}, "POST")
        threading.Thread(target=web.start, daemon=True).start()
        while not web.server.started:
            time.sleep(0.01)
        port = web.server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"


def refuse(scenario):
    if scenario.build != "sentence_embedding":
        raise Unsupported("a server computes vectors of sentences")
