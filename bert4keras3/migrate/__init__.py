"""Rewrites scripts for bert4keras, so that they run on Keras 3 and keras 2.3.1: python -m bert4keras3.migrate SCRIPT…

Imports no Keras. Needs libcst, which preserves comments and layout.
"""

from __future__ import annotations

import ast
from typing import Any

from bert4keras3.migrate.tables import ADVICE, Advice

__all__ = ["ADVICE", "Advice", "migrate_source"]


def migrate_source(source: str, filename: str = "<script>") -> tuple[str, list[Any]]:
    """Rewrite the text of a script.

    Args:
        source: text of a Python 3 script.
        filename: name of the script for error messages.

    Returns:
        The new text, and a list of `Finding(line, kind, message, is_note)`, sorted by the lines of `source`.

    Raises:
        ImportError: libcst is not installed.
        SyntaxError: the source is not Python 3, or contains form feeds; the message has file and line.
    """
    try:
        import libcst
    except ImportError as error:
        raise ImportError(
            "bert4keras3.migrate needs libcst: pip install 'bert4keras3[migrate]', or pip install libcst"
        ) from error
    from bert4keras3.migrate.rewrite import rewrite

    try:
        module = libcst.parse_module(source)
    except libcst.ParserSyntaxError as error:
        raise SyntaxError(what_is_wrong(source, filename, error)) from None
    if module.code != source:
        raise SyntaxError(f"{filename}: libcst cannot reproduce this text exactly: remove form feeds")
    module, findings = rewrite(module)
    return module.code, findings


def what_is_wrong(source, filename, error):
    """Error message for source that is not Python 3."""
    line, reason = error.raw_line, error.message.replace("\n", " ")
    message = f"expected Python 3: {reason}"
    try:
        ast.parse(source, filename)
    except SyntaxError as found:  # Python's own parser recognizes print statements and reports their line
        line, message = found.lineno or line, f"expected Python 3: {found.msg}"
    except ValueError as found:
        message = f"expected Python 3: {found}"
    return f"{filename}:{line}: {message}. Convert scripts of Python 2 first, for example with 2to3 -w"
