"""What the library under test returns for the calls of tokenizers and snippets."""

import importlib

from parity.text.cases import compute_snippet, compute_tokenizer, golden_cases

COMPUTE = {"tokenizers": compute_tokenizer, "snippets": compute_snippet}


def record(kind, library, flavour, name):
    given, _ = golden_cases(kind)[name]
    return COMPUTE[kind](importlib.import_module(f"{library.name}.{kind}"), given)
