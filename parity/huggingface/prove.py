"""The way back: what `save_pretrained` writes, transformers reads, and computes the same from it.

python -m parity.huggingface.prove FOLDER          in an environment with transformers

Run with a library's pairing first, `python -m parity.huggingface.prove FOLDER --write`, which writes each golden
folder again. Printed for each: missing and unexpected keys, and the error ratio of transformers' outputs.
"""

import argparse
import json
from pathlib import Path

from parity.huggingface.compare import fullest, joint_ratio, names, read


def write(folder):
    """Load each golden folder with the most heads of its answers, and save it."""
    from bert4keras3.models import build_transformer_model

    for name in names():
        source, target = folder / name / "theirs", folder / name / "ours"
        source.mkdir(parents=True, exist_ok=True)
        known = read(name)
        for file, content in known.files.items():
            (source / file).write_bytes(content)
        transformer = build_transformer_model(
            str(source), return_keras_model=False, **known.answers[fullest(known.answers)][0]
        )
        try:
            transformer.save_pretrained(str(target))
        except ValueError as error:
            print(f"{name}: refused: {error}")


def prove(folder):
    """Load each folder that was written with the class that its configuration names."""
    import torch
    import transformers

    from parity.huggingface.golden import CASES, call

    for name in names():
        target = folder / name / "ours"
        if not target.exists():
            continue
        case, known = CASES[name], read(name)
        (architecture,) = json.loads((target / "config.json").read_text())["architectures"]
        model, info = getattr(transformers, architecture).from_pretrained(
            str(target), output_loading_info=True, attn_implementation="eager"
        )
        with torch.no_grad():
            outputs = call(model.eval(), case, torch.float32)
        place = fullest(known.answers)
        answers = [value.numpy() for value in case.answers[place][1](outputs)]
        ratio = joint_ratio(answers, *known.answers[place][1:], known.seen)
        missing, unexpected = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
        print(f"{name}: {architecture}, missing {missing}, unexpected {unexpected}, error ratio {ratio:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    (write if options.write else prove)(options.folder)


if __name__ == "__main__":
    main()
