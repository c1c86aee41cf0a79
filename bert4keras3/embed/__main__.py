"""python -m bert4keras3.embed --model FOLDER --input FILE --output FOLDER: vectors of a file of texts."""

from __future__ import annotations

import argparse
import glob
import os
import sys
from typing import Any, Iterable

from bert4keras3.backend import keras
from bert4keras3.embed.on_ray import write_on_ray
from bert4keras3.embed.processes import write_in_processes
from bert4keras3.embed.shards import ShardWriter, check_settings, shard_path
from bert4keras3.embed.texts import count_texts, import_pyarrow
from bert4keras3.text_encoder import POOLINGS

EXPLANATION = """
FILE is .txt (a text in each line), .jsonl (an object in each line; see --field) or .parquet (needs pyarrow).
FOLDER gets vectors-00000.npy, vectors-00001.npy, …, each with the vectors of --shard-size texts in the order of FILE,
and settings.json. With --format parquet (needs pyarrow), a shard has the columns "text" and "vector". A shard is
renamed to its name when it is whole, so that a run that was killed goes on with the first shard that is missing: start
the same command again. With --engine ray (needs Ray), the workers are actors of Ray Data, on all machines of a
cluster. The machines see the same FILE and FOLDER, and the same folder of the model.

exit status: 0 if all shards are there, 2 if a file cannot be read or written or does not fit the settings.
"""


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
        "--workers", type=int, default=1, help="processes that share the shards; each has a model"
    )
    parser.add_argument("--engine", choices=("ray",), help="default: processes on this machine")
    parser.add_argument(
        "--address", help="of the cluster for --engine ray; default: Ray on this machine alone"
    )
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.address and not options.engine:
        parser.error("--address needs --engine ray")
    try:
        return embed(options)
    except (OSError, ValueError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2


def embed(options: argparse.Namespace) -> int:
    """Write the shards that are missing."""
    if options.format == "parquet":
        import_pyarrow(options.output)
    total, size = count_texts(options), options.shard_size
    texts = {i: min(size, total - i * size) for i in range(-(-total // size))}  # in each shard
    missing = {i: count for i, count in texts.items() if not os.path.exists(shard_path(options, i))}
    if options.worker is not None:
        write_shards(options, [i for i in missing if i % options.workers == options.worker])
        return 0
    check_settings(options)
    remove_partial_files(options)  # of a run that was killed
    bar = keras.utils.Progbar(total)
    bar.add(total - sum(missing.values()))
    if options.engine == "ray":
        write_on_ray(options, missing, bar)
    elif options.workers > 1:
        write_in_processes(options, missing, bar)
    else:
        write_shards(options, missing, bar)
    remove_partial_files(options)  # of workers that were killed
    print(f"\n{total} vectors in {len(texts)} files in '{options.output}'")
    return 0


def remove_partial_files(options):
    for path in glob.glob(os.path.join(glob.escape(options.output), "*.tmp")):
        os.remove(path)


def write_shards(options: argparse.Namespace, missing: Iterable[int], bar: Any = None) -> None:
    """Compute and write shards in this process."""
    writer = None
    for number in missing:
        writer = writer or ShardWriter(options)
        writer.write(number, bar)


if __name__ == "__main__":
    sys.exit(main())
