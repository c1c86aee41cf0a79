"""LoRA: trainable parameters, optimizer memory and size of the file of a BERT-base with AdamW, counted from the model.

    python -m bench.studies.lora        in the environment of a pairing on Keras 3, with its variables

"trained": the parameters that train. "state": the bytes of the optimizer's slots. "file": the bytes of the adapter's
file; without adapters the bytes of all weights.
"""

import os
import tempfile

import numpy as np

from bench.studies import Study, read_rounds
from bert4keras3 import lora
from bert4keras3.backend import deferred_initialization, keras
from bert4keras3.models import build_transformer_model

NUMBERS = dict(vocab_size=21128, hidden_size=768, num_hidden_layers=12, num_attention_heads=12)
SIZES = dict(NUMBERS, intermediate_size=3072, max_position_embeddings=512, hidden_act="gelu")
RANK = 8
CANDIDATES = ("all weights", "attention", "all-linear")


def counted(layers):
    """{metric: value} of a model whose adapters are in these layers; bytes and parameters."""
    with deferred_initialization():
        transformer = build_transformer_model(return_keras_model=False, **SIZES)
        if layers != CANDIDATES[0]:
            lora.enable(transformer, rank=RANK, layers=layers)
        size = sum(number_of(one) * 4 for one in transformer.model.weights)
        if layers != CANDIDATES[0]:
            with tempfile.TemporaryDirectory() as folder:
                lora.save(transformer, folder)
                size = os.path.getsize(os.path.join(folder, "adapter_model.safetensors"))
        trained = transformer.model.trainable_variables
        optimizer = keras.optimizers.AdamW()
        optimizer.build(trained)
    state = sum(number_of(one) * 4 for one in optimizer.variables if len(one.shape))
    return {"trained": sum(map(number_of, trained)), "state": state, "file": size}


def number_of(weight):
    return int(np.prod(weight.shape))


def main():
    study = Study("lora", read_rounds(__doc__, 1), keras=keras.__version__)
    for layers in CANDIDATES:
        for metric, value in counted(layers).items():
            study.add(
                f"bert-base rank {RANK}", layers, metric, value / 1e6, "M" if metric == "trained" else "MB"
            )
    study.write()


if __name__ == "__main__":
    main()
