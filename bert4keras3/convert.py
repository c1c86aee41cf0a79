"""python -m bert4keras3.convert SOURCE TARGET: weights of one format in another, with a report and a check."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import zipfile
from typing import Any, Iterable, Iterator

import numpy as np

from bert4keras3.checkpoints import CheckpointError, open_checkpoint, save_checkpoint
from bert4keras3.checkpoints.huggingface import translate_names
from bert4keras3.checkpoints.whole_file import whole_file
from bert4keras3.huggingface import HEADS, find_files, save_pretrained
from bert4keras3.models import BERT_BY_DEFAULT, build_transformer_model, hugging_face_configs, read_file
from bert4keras3.snippets.progress import with_progress
from bert4keras3.weights import iterate_weights

EXPLANATION = """
SOURCE and TARGET are X.ckpt (a TensorFlow checkpoint), X.npz, X.h5 (weights of Keras) or a folder of Hugging Face.
SOURCE may also be a single .safetensors or .bin. The heads that SOURCE has are converted too; an X.h5 says nothing of
them, so give them with --arguments, for example --arguments '{"with_mlm": true}'.

exit status: 0 if TARGET gives the same numbers as SOURCE, 1 if not, 2 if a file cannot be read or written.
"""
TOKENIZER_FILES = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "spiece.model",
    "sentencepiece.bpe.model",
)
HEAD_ARGUMENTS = {
    "pool": "with_pool",
    "nsp": "with_nsp",
    "mlm": "with_mlm",
    "discriminator": "with_discriminator",
}
LENGTH = 8
BOUND, FLOOR = 3.0, 2.0**-24  # as in parity


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        "python -m bert4keras3.convert",
        description=__doc__.split(": ")[1],
        epilog=EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("target", metavar="TARGET")
    parser.add_argument("--config", help="configuration of SOURCE; a folder has its own")
    parser.add_argument("--model", default=BERT_BY_DEFAULT, help="model=, as in build_transformer_model")
    parser.add_argument(
        "--arguments", type=json.loads, default={}, help="further arguments of the model, as JSON"
    )
    parser.add_argument("--dtype", help="dtype of the floats in TARGET, such as bfloat16")
    options = parser.parse_args(arguments)
    try:
        return convert(**vars(options))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


def convert(
    source: str, target: str, config: str | None, model: Any, arguments: dict[str, Any], dtype: str | None
) -> int:
    """Convert, print what was done, and compare the outputs of both; 0 if they are the same."""
    config, weights = find_files(config or source, None if config is None else source)
    if weights is None:
        raise CheckpointError(
            f"'{source}' is no folder with a configuration. Give its configuration with --config"
        )
    transformer, arguments = load(config, weights, model, arguments)
    mapping = transformer.mapped_layers()
    names = list(dict.fromkeys(name for layer in mapping.values() for name in layer))
    rows = transformer.huggingface_rows()

    def show(variables):
        return progress(variables, len(names))

    def variables() -> Iterator[tuple[str, Any]]:
        for name, value in show(iterate_weights(transformer.layers, mapping)):
            yield name, transformer.create_variable(name, value, dtype)

    if target.endswith(".npz"):
        write_npz(target, variables(), dtype)
    elif target.endswith(".ckpt"):
        save_checkpoint(target, variables(), dtype)
    elif target.endswith(".h5"):
        transformer.model.save_weights(target)
    else:
        save_pretrained(transformer, target, None, "5GB", dtype, show)
        for name in TOKENIZER_FILES:
            if os.path.isfile(os.path.join(os.path.dirname(config), name)):
                shutil.copy(os.path.join(os.path.dirname(config), name), target)
    for name in names:
        print(f"{name}  {rows.get(name, '')}")
    call = reload_arguments(target, config, weights, model, arguments)
    print("load it with build_transformer_model(" + ", ".join(f"{k}={v!r}" for k, v in call.items()) + ")")
    again = build_transformer_model(**call)
    if target.endswith(".h5"):
        again.load_weights(target)
    found = difference(transformer.model, again)
    same = found <= BOUND or dtype is not None
    print(
        f"outputs of SOURCE and TARGET differ by {found:.2g} roundings of float32"
        + ("" if same else ": too much")
    )
    return 0 if same else 1


def load(config: str, weights: str, model: Any, arguments: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The Transformer with all heads that its file has, and its arguments."""
    options: dict[str, Any] = dict(arguments, model=model, return_keras_model=False)
    if weights.endswith(".h5"):
        transformer = build_transformer_model(config, **options)
        transformer.model.load_weights(weights)
        return transformer, arguments
    transformer = build_transformer_model(config, weights, **options)
    checkpoint = translate_names(open_checkpoint(weights), transformer.huggingface_rows())
    table = transformer.variable_mapping()
    heads = {
        argument: True
        for head, argument in HEAD_ARGUMENTS.items()
        if hasattr(transformer, argument)
        and HEADS[head] in table
        and all(name in checkpoint for name in table[HEADS[head]])
    }
    if set(heads) - set(arguments):
        arguments = dict(heads, **arguments)
        transformer = build_transformer_model(config, weights, **dict(options, **arguments))
    return transformer, arguments


def reload_arguments(target, config, weights, model, arguments):
    """Arguments of build_transformer_model for the target; a configuration in our names is written if it needs one."""
    if not target.endswith((".npz", ".ckpt", ".h5")):
        return dict(config_path=target, **arguments)
    call = dict(arguments, config_path=config)
    if not isinstance(model, type(BERT_BY_DEFAULT)):
        call["model"] = model
    configs = hugging_face_configs(
        config, read_file(config), weights, model, arguments.get("application", "encoder")
    )
    if configs is not None:
        call["model"], call["config_path"] = configs.pop("model"), target + ".json"
        if "layer_norm_eps" in configs:
            call["layer_norm_eps"] = configs["layer_norm_eps"]
        del configs["model_type"]
        with open(call["config_path"], "w", encoding="utf-8") as file:
            json.dump(configs, file, indent=2)
    if not target.endswith(".h5"):
        call["checkpoint_path"] = target
    return call


def write_npz(path: str, variables: Iterable[tuple[str, Any]], dtype: str | None) -> None:
    """Write an `.npz` with one array in memory at a time."""
    if dtype == "bfloat16":
        raise CheckpointError(f"cannot write '{path}': NumPy has no bfloat16. Take a .ckpt or a folder")
    with whole_file(path) as whole, zipfile.ZipFile(whole, "w") as archive:
        for name, value in variables:
            value = np.asarray(value, dtype)
            with archive.open(name + ".npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, value, allow_pickle=False)


def progress(items: Iterable[Any], total: int) -> Iterable[Any]:
    """The items, with a bar of tqdm, or with a line for each tenth if tqdm is not installed."""
    try:
        return with_progress(items, True, total, " variables")
    except ImportError:
        return counted(items, total)


def counted(items, total):
    for i, item in enumerate(items):
        if i * 10 // total != (i - 1) * 10 // total:
            print(f"{i} of {total} variables", file=sys.stderr)
        yield item


def difference(model: Any, other: Any) -> float:
    """Root mean square of the difference of the outputs for one short text, in roundings of float32."""
    values = [example(tensor) for tensor in model.inputs]
    outputs = [one.predict_on_batch(values if len(values) > 1 else values[0]) for one in (model, other)]
    first, second = (
        np.concatenate(
            [np.ravel(np.asarray(one, "float64")) for one in (o if isinstance(o, (list, tuple)) else [o])]
        )
        for o in outputs
    )
    return float(np.sqrt(np.mean((first - second) ** 2) / np.mean(first**2)) / FLOOR)


def example(tensor):
    """Values of an input: the ids 0 to 3, segments 0 and 1, or numbers for the output of an encoder."""
    length, *others = [getattr(one, "value", one) for one in tensor.shape[1:]]
    shape = (1, int(length or LENGTH), *others)
    values = np.arange(np.prod(shape)).reshape(shape)
    ids = values % (2 if "Segment" in tensor.name else 4)
    return np.asarray(np.sin(values) if others else ids, "float32")


if __name__ == "__main__":
    sys.exit(main())
