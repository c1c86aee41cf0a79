"""python -m bert4keras3.migrate SCRIPT…: shows or makes the changes that scripts for bert4keras need."""

from __future__ import annotations

import argparse
import difflib
import io
import os
import shutil
import sys
import tempfile
import tokenize
from typing import NamedTuple

from bert4keras3.migrate import migrate_source

EXPLANATION = """
exit status: 0 if the scripts need no more changes, 1 if you have to change something, 2 if a file cannot be read; then
no file is written. The diff goes to the standard output, messages go to the standard error.
"""


class Script(NamedTuple):
    """A file, with its text before and after the changes."""

    path: str
    encoding: str
    old: str
    new: str
    findings: list


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        "python -m bert4keras3.migrate",
        description="Rewrites scripts for bert4keras, so that they run on Keras 3 and keras 2.3.1, and lists the "
        "changes that you have to make yourself.",
        epilog=EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scripts", nargs="+", metavar="SCRIPT", help="Python 3 file")
    parser.add_argument("--write", action="store_true", help="change the files instead of showing a diff")
    options = parser.parse_args(arguments)

    scripts, errors = [], []
    for path in options.scripts:
        try:
            scripts.append(read(path))
        except ImportError as error:
            print(error, file=sys.stderr)
            return 2
        except (OSError, SyntaxError) as error:
            errors.append(str(error) if str(error).startswith(path) else f"{path}: {error}")
    for script in scripts:
        if options.write and not errors and script.new != script.old:
            write(script)
            print(f"rewrote {script.path}")
        elif not options.write:
            sys.stdout.write(diff(script))
        report(script, options.write and not errors)
    for message in errors:
        print(message, file=sys.stderr)
    if errors:
        return 2
    return int(any(not one.is_note for script in scripts for one in script.findings))


def read(path: str) -> Script:
    """Read and rewrite a file; its encoding and newlines stay the same."""
    with open(path, "rb") as file:
        content = file.read()
    old, encoding = decode(content, path)
    new, findings = migrate_source(old, path)
    return Script(path, encoding, old, new, findings)


def decode(content: bytes, path: str) -> tuple[str, str]:
    """(text, encoding) of a file.

    Raises:
        SyntaxError: the bytes are not text; the message has the line.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        return content.decode(encoding), encoding
    except (SyntaxError, UnicodeDecodeError) as error:
        message = str(error)
    for number, line in enumerate(content.split(b"\n"), 1):
        if "unknown encoding" not in message and not is_text(line):
            message = "expected UTF-8, or the encoding that the first line declares: # -*- coding: gbk -*-"
            raise SyntaxError(f"{path}:{number}: {message}")
    raise SyntaxError(f"{path}:1: {message}")


def is_text(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def write(script: Script) -> None:
    """Replace the file by the new content in one step; its permissions stay the same."""
    path = os.path.realpath(script.path)
    content = script.new.encode(script.encoding)
    handle, beside = tempfile.mkstemp(dir=os.path.dirname(path), prefix=os.path.basename(path))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        shutil.copymode(path, beside)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def diff(script: Script) -> str:
    """The changes as a unified diff."""
    old, new = (text.splitlines(True) for text in (script.old, script.new))
    lines = difflib.unified_diff(old, new, script.path, script.path)
    return "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines
    )


def report(script: Script, is_written: bool) -> None:
    """Print each message once, with all its lines in the present file."""
    findings = script.findings
    if is_written:
        _, left = migrate_source(script.new, script.path)
        reported = {(one.kind, one.is_note) for one in left}
        changes = [one for one in findings if one.is_note and (one.kind, True) not in reported]
        findings = sorted([one._replace(line=line_after(script, one.line)) for one in changes] + left)
    places: dict = {}
    for finding in findings:
        places.setdefault((finding.message, finding.kind, finding.is_note), []).append(finding.line)
    for (message, kind, is_note), lines in places.items():
        others = sorted(set(lines[1:]) - {lines[0]})
        plural = "s" if len(others) > 1 else ""
        also = f" (also line{plural} {', '.join(map(str, others))})" if others else ""
        label = "note" if is_note else kind
        print(f"{script.path}:{lines[0]}: {label}: {message}{also}", file=sys.stderr)


def line_after(script: Script, line: int) -> int:
    """Line of the new text for a line of the old text."""
    old, new = (text.splitlines() for text in (script.old, script.new))
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for _, start, end, new_start, new_end in matcher.get_opcodes():
        if start < line <= end:
            return min(new_start + line - start, max(new_end, new_start + 1))
    return line


if __name__ == "__main__":
    sys.exit(main())
