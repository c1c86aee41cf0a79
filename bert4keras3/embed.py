"""python -m bert4keras3.embed --model FOLDER --input FILE --output FOLDER: vectors of a file of texts."""

from __future__ import annotations

import argparse
import glob
import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from typing import Any, Iterator

import numpy as np

from bert4keras3.backend import keras
from bert4keras3.checkpoints import CheckpointError
from bert4keras3.checkpoints.whole_file import whole_file
from bert4keras3.text_encoder import POOLINGS, TextEncoder

EXPLANATION = """
FILE is .txt (a text in each line), .jsonl (an object in each line; see --field) or .parquet (needs pyarrow).
FOLDER gets vectors-00000.npy, vectors-00001.npy, …, each with the vectors of --shard-size texts in the order of FILE,
and settings.json. With --format parquet (needs pyarrow), a shard has the columns "text" and "vector". A shard is
renamed to its name when it is whole, so that a run that was killed goes on with the first shard that is missing: start
the same command again.

exit status: 0 if all shards are there, 2 if a file cannot be read or written or does not fit the settings.
"""
SETTINGS = "settings.json"
# What decides the vectors. A folder with other settings is not continued.
DECIDING = "model input field pooling normalize max_length batch_tokens shard_size format".split()


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        "python -m bert4keras3.embed",
        description=__doc__.split(": ", 1)[1],
        epilog=EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="folder or hf://organisation/name, as for TextEncoder")
    parser.add_argument("--input", required=True, metavar="FILE")
    parser.add_argument("--output", required=True, metavar="FOLDER")
    parser.add_argument("--field", default="text", help="key or column of the text; default: text")
    parser.add_argument(
        "--pooling", choices=list(POOLINGS), help="default: as the model's folder says, or cls"
    )
    parser.add_argument("--normalize", action="store_true", default=None, help="vectors of length 1")
    parser.add_argument("--max-length", type=int, help="tokens of a text at most")
    parser.add_argument("--batch-tokens", type=int, default=16384)
    parser.add_argument("--shard-size", type=int, default=4096, help="texts of a shard")
    parser.add_argument("--format", choices=("npy", "parquet"), default="npy", help="of the shards")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes on this machine, which share the shards"
    )
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        return embed(options)
    except (OSError, ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2


def embed(options: argparse.Namespace) -> int:
    """Write the shards that are missing."""
    if options.format == "parquet":
        import_pyarrow(options.output)
    total = count_texts(options)
    shards = {i: shard_path(options, i) for i in range(-(-total // options.shard_size))}
    if options.worker is not None:
        own = {i: path for i, path in shards.items() if i % options.workers == options.worker}
        write_shards(options, own, None)
        return 0
    check_settings(options)
    for path in glob.glob(os.path.join(glob.escape(options.output), "*.tmp")):  # of a run that was killed
        os.remove(path)
    bar = keras.utils.Progbar(total)
    bar.add(sum(rows_of_shard(path) for path in shards.values() if os.path.exists(path)))
    if options.workers > 1:
        run_workers(options, list(shards.values()), bar)
    else:
        write_shards(options, shards, bar)
    print(f"\n{total} vectors in {len(shards)} files in '{options.output}'")
    return 0


def write_shards(options: argparse.Namespace, shards: dict[int, str], bar: Any) -> None:
    """Compute and write the shards that are missing, of {number: path}."""
    missing = {i: path for i, path in shards.items() if not os.path.exists(path)}
    if not missing:
        return
    encoder = TextEncoder(
        options.model, pooling=options.pooling, normalize=options.normalize, max_length=options.max_length
    )
    texts, place = read_texts(options), 0
    for number, path in missing.items():
        start = number * options.shard_size
        chosen = list(itertools.islice(texts, start - place, start - place + options.shard_size))
        place = start + options.shard_size
        vectors: dict[int, np.ndarray] = {}
        for numbers, found in encoder.encode_batches(chosen, options.batch_tokens):
            vectors.update(zip(numbers.tolist(), found))
            if bar is not None:
                bar.add(len(numbers))
        write_shard(path, chosen, np.stack([vectors[i] for i in range(len(vectors))]))


def run_workers(options: argparse.Namespace, shards: list[str], bar: Any) -> None:
    """Start a process for each part of the shards, and show how many are there."""
    words = [sys.executable, "-m", "bert4keras3.embed", *command_of(options)]
    threads = str(max(1, (os.cpu_count() or 1) // options.workers))
    environment = dict(os.environ, OMP_NUM_THREADS=threads)
    workers = [
        subprocess.Popen([*words, "--worker", str(i)], env=environment) for i in range(options.workers)
    ]
    waiting = [path for path in shards if not os.path.exists(path)]
    try:
        while any(worker.poll() is None for worker in workers):
            done = [path for path in waiting if os.path.exists(path)]
            waiting = [path for path in waiting if path not in done]
            if done:
                bar.add(sum(map(rows_of_shard, done)))
            if any(worker.poll() for worker in workers):
                break
            time.sleep(0.2)
        failed = [i for i, worker in enumerate(workers) if worker.poll()]
        if failed:
            raise CheckpointError(
                f"worker {failed[0]} ended with status {workers[failed[0]].returncode}. What it wrote is kept: start "
                "the same command again"
            )
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait()
    bar.add(sum(rows_of_shard(path) for path in waiting))


def command_of(options):
    """The options as words of a command line."""
    words = []
    for name, value in vars(options).items():
        if name != "worker" and value is not None and value is not False:
            words += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return words


def check_settings(options: argparse.Namespace) -> None:
    """Write the settings into a new folder; raise ValueError if the folder has others."""
    path = os.path.join(options.output, SETTINGS)
    settings = {name: getattr(options, name) for name in DECIDING}
    settings.update(model=os.path.abspath(options.model) if os.path.isdir(options.model) else options.model)
    settings.update(input=os.path.abspath(options.input), input_sha256=digest(options.input))
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        for name, value in settings.items():
            if found.get(name) != value:
                raise ValueError(
                    f"'{path}' has {name} {found.get(name)!r}, and this run has {value!r}. Give another --output, or "
                    "delete the folder"
                )
        return
    if glob.glob(os.path.join(glob.escape(options.output), "vectors-*")):
        raise ValueError(f"'{options.output}' has vectors, but no {SETTINGS}. Give another --output")
    os.makedirs(options.output, exist_ok=True)
    with whole_file(path) as file:
        file.write(json.dumps(settings, indent=2).encode())


def digest(path):
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


def shard_path(options, number):
    return os.path.join(options.output, f"vectors-{number:05d}.{options.format}")


def rows_of_shard(path):
    if path.endswith(".parquet"):
        return parquet_file(path).metadata.num_rows
    return len(np.load(path, mmap_mode="r"))


def write_shard(path, texts, vectors):
    """Write vectors (n, size), to Parquet together with their texts."""
    with whole_file(path) as file:
        if path.endswith(".npy"):
            np.save(file, vectors)
            return
        pyarrow = import_pyarrow(path)
        column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.ravel()), vectors.shape[1])
        pyarrow.parquet.write_table(pyarrow.table({"text": texts, "vector": column}), file)


def count_texts(options):
    """Number of texts in the input."""
    if options.input.endswith(".parquet"):
        return parquet_file(options.input).metadata.num_rows
    with open(options.input, "rb") as file:
        return sum(1 for _ in file)


def read_texts(options: argparse.Namespace) -> Iterator[str]:
    """Yield the texts of the input.

    Raises:
        ValueError: the input is none of these formats, or a line has no such field.
    """
    kind = os.path.splitext(options.input)[1]
    if kind not in (".txt", ".jsonl", ".parquet"):
        raise ValueError(f"'{options.input}': expected a .txt, .jsonl or .parquet file")
    if kind == ".parquet":
        rows = parquet_file(options.input).iter_batches(columns=[options.field])
        for number, text in enumerate((text for batch in rows for text in batch.column(0).to_pylist()), 1):
            yield checked(text, options, number)
        return
    with open(options.input, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise ValueError(f"'{options.input}', line {number}: expected UTF-8 ({error})") from error
            yield text if kind == ".txt" else checked(field_of(text, options, number), options, number)


def field_of(line, options, number):
    """The text in a line of JSON."""
    try:
        return json.loads(line)[options.field]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"'{options.input}', line {number}: expected a JSON object with the field {options.field!r}, got "
            f"{line[:60]!r} ({error})"
        ) from error


def checked(text, options, number):
    """The text; raises ValueError if it is none."""
    if not isinstance(text, str):
        raise ValueError(f"'{options.input}', line {number}: {options.field!r} is {text!r}, expected a text")
    return text


def parquet_file(path):
    return import_pyarrow(path).parquet.ParquetFile(path)


def import_pyarrow(path):
    """pyarrow with pyarrow.parquet."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"'{path}' needs pyarrow: pip install 'bert4keras3[parquet]'") from error
    return pyarrow


if __name__ == "__main__":
    sys.exit(main())
