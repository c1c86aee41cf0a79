"""What the library under test computes when it trains an adapter of PEFT."""

import importlib
import tempfile
from pathlib import Path

import numpy as np

from parity.huggingface.compare import fullest
from parity.huggingface.compare import read as read_folder
from parity.huggingface.record import NO_DROPOUT, inputs_of, outputs_of
from parity.lora.cases import ADAMW, CASES, STEPS
from parity.lora.compare import read
from parity.models.training import make_step


def record(kind, library, flavour, name):
    """{"losses", "output/<number>" after the training, "merged/<number>" too, "adapter/<name of PEFT>"}"""
    lora = importlib.import_module(library.name + ".lora")
    open_checkpoint = importlib.import_module(library.name + ".checkpoints").open_checkpoint
    case, (files, _) = CASES[name], read(name)
    known = read_folder(case.folder)
    with tempfile.TemporaryDirectory() as folder:
        for file, content in {**known.files, **files}.items():
            (Path(folder) / file).write_bytes(content)
        arguments = dict(known.answers[fullest(known.answers)][0], **NO_DROPOUT)
        transformer = library.build_transformer_model(folder, return_keras_model=False, **arguments)
        lora.load(transformer, folder)
        optimizer = library.keras.optimizers.AdamW(**ADAMW) if case.optimizer == "AdamW" else None
        values = inputs_of(transformer.model, known.inputs)
        step = make_step(library, transformer.model, values, known.seen, optimizer)
        arrays = {"losses": np.array([step(1.0) for _ in range(STEPS)], "float64")}
        lora.save(transformer, folder + "/trained")
        trained = open_checkpoint(folder + "/trained/adapter_model.safetensors")
        arrays.update((f"adapter/{key}", np.array(trained[key])) for key in trained)
        for part in ("output", "merged"):
            if part == "merged":
                lora.merge(transformer)
            outputs = outputs_of(transformer.model, known.inputs)
            arrays.update((f"{part}/{i}", output) for i, output in enumerate(outputs))
    return arrays
