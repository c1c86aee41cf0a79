"""sentence-transformers, on the folder of MiniLM as released: the mean of the hidden states, not yet normalized."""

import sentence_transformers
import torch

from bench.implementations import Unsupported
from bench.implementations.adapter import Adapter
from bench.implementations.torch_functions import arrays
from parity.store import MINILM_FOLDER


class SentenceTransformers(Adapter):
    FORMAT = "sentence-transformers"

    def convert(self, scenario, folder):
        """The package has the folder."""

    def load(self, scenario, folder):
        if scenario.build != "sentence_embedding":
            raise Unsupported("it computes vectors of sentences")
        modules = sentence_transformers.SentenceTransformer(str(MINILM_FOLDER), device="cpu").eval()
        self.modules = [one for one in modules if type(one).__name__ != "Normalize"]

    def outputs(self, inputs):
        ids = torch.tensor(inputs[0], dtype=torch.long)
        features = {"input_ids": ids, "attention_mask": (ids != 0).long()}
        with torch.no_grad():
            for module in self.modules:
                features = module(features)
        return arrays([features["sentence_embedding"]])
