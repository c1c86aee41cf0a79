"""The texts of an input: .txt, .jsonl or .parquet."""

from __future__ import annotations

import argparse
import json
import os
from typing import Iterator


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
