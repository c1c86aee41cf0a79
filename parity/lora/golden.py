"""Adapters that PEFT writes, and how it trains them on transformers, in one file.

python -m parity.lora.golden          in the environment `transformers`
"""

import io
import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import peft
import torch
import transformers
from safetensors.torch import load_file

from parity.huggingface.compare import fullest, read
from parity.huggingface.golden import CASES as FOLDERS
from parity.huggingface.golden import call
from parity.lora.cases import ADAMW, CASES, RATE, STEPS, random_factors
from parity.lora.compare import LORA
from parity.models.training import targets_and_importances
from parity.subsample import rms

PRECISIONS = (torch.float32, torch.float64)


def make(case, folder):
    """The model of a folder with an adapter whose matrices are all random."""
    for file, content in read(case.folder).files.items():
        (Path(folder) / file).write_bytes(content)
    kind = getattr(transformers, FOLDERS[case.folder].model)
    base = kind.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    torch.manual_seed(0)
    model = peft.get_peft_model(base, peft.LoraConfig(**case.lora)).eval()
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    values = random_factors({name: tuple(one.shape) for name, one in trained.items()})
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(torch.tensor(values[name]))
    return model


def optimizer_of(case, parameters):
    if case.optimizer == "SGD":
        return torch.optim.SGD(parameters, lr=RATE)
    betas = ADAMW["beta_1"], ADAMW["beta_2"]
    return torch.optim.AdamW(parameters, ADAMW["learning_rate"], betas, weight_decay=ADAMW["weight_decay"])


def set_epsilon(optimizer, step):
    """Give AdamW the epsilon of Keras, which adds it before the correction of the second moment's bias."""
    for group in optimizer.param_groups:
        group["eps"] = ADAMW["epsilon"] / (1 - ADAMW["beta_2"] ** step) ** 0.5


def train(case, dtype):
    """{"losses", "output/<number>" after the training, "adapter/<name>"} in one precision, and the adapter's files."""
    folder_case, known = FOLDERS[case.folder], read(case.folder)
    _, select = folder_case.answers[fullest(known.answers)]
    with tempfile.TemporaryDirectory() as folder:
        model = make(case, folder)
        model.save_pretrained(f"{folder}/adapter", save_embedding_layers=False)
        paths = [
            Path(folder) / "adapter" / name for name in ("adapter_config.json", "adapter_model.safetensors")
        ]
        files = {path.name: path.read_bytes() for path in paths}
        model = model.to(dtype)
        parameters = [one for one in model.parameters() if one.requires_grad]
        optimizer, losses = optimizer_of(case, parameters), []
        for step in range(1, STEPS + 1):
            outputs = select(call(model, folder_case, dtype))
            targets, importances = targets_and_importances([tuple(one.shape) for one in outputs], known.seen)
            # in the precision of the run: numbers of float64 would make a run in float32 more exact
            targets, importances = (
                [torch.tensor(one).to(dtype) for one in ones] for ones in (targets, importances)
            )
            loss = sum(
                (importance * (output - target) ** 2).sum()
                for output, target, importance in zip(outputs, targets, importances)
            ) / len(known.seen)
            optimizer.zero_grad()
            loss.backward()
            set_epsilon(optimizer, step)
            optimizer.step()
            losses.append(float(loss))
        arrays = {"losses": np.array(losses)}
        with torch.no_grad():
            outputs = select(call(model, folder_case, dtype))
        arrays.update((f"output/{i}", one.numpy()) for i, one in enumerate(outputs))
        model.save_pretrained(f"{folder}/trained", save_embedding_layers=False)
        trained = load_file(f"{folder}/trained/adapter_model.safetensors")
    arrays.update((f"adapter/{name}", one.numpy()) for name, one in trained.items())
    return arrays, files


def main():
    info = {one.__name__: one.__version__ for one in (peft, transformers, torch)}
    with zipfile.ZipFile(LORA, "w") as archive:
        for name, case in CASES.items():
            (single, files), (double, _) = (train(case, dtype) for dtype in PRECISIONS)
            arrays = dict(double)
            arrays.update((key + "@noise", rms([single[key] - double[key]])) for key in double)
            buffer = io.BytesIO()
            np.savez(buffer, **arrays)
            files.update({"golden.npz": buffer.getvalue(), "golden.json": json.dumps(info).encode()})
            for file, content in files.items():
                archive.writestr(zipfile.ZipInfo(f"{name}/{file}"), content, zipfile.ZIP_DEFLATED, 9)
            print(f"{name}: loss {double['losses'][0]:.4g} to {double['losses'][-1]:.4g}", flush=True)


if __name__ == "__main__":
    main()
