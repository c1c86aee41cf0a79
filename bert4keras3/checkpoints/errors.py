"""What reading and writing checkpoints may raise: nothing but these two, whatever is in the file.

The list of near names is made only when the message is shown: a loader that skips a few hundred
missing variables must not pay for a few hundred searches.
"""

import difflib
from contextlib import contextmanager
from typing import Sequence


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or written; the message names file, variable and remedy."""


class VariableNotFoundError(CheckpointError, KeyError):
    """The checkpoint has no variable of that name; the message lists near names, then what to try."""

    def __init__(self, name: str, path: str, names: Sequence[str], advice: str = "") -> None:
        super().__init__(name, path, names, advice)
        self.name, self.path, self.names, self.advice = name, path, names, advice

    def __str__(self):
        near = difflib.get_close_matches(str(self.name), [str(name) for name in self.names], n=3)
        if near:
            hint = "near names: " + ", ".join(repr(name) for name in near)
        else:
            hint = "no near name; list(open_checkpoint(path)) shows them all"
        advice = f". {self.advice}" if self.advice else ""
        return f"'{self.path}' has no variable {self.name!r} among its {len(self.names)}; {hint}{advice}"


def damaged(path, reason):
    """The error for a file that contradicts itself."""
    return CheckpointError(f"'{path}' is damaged: {reason}. Copy or download it again")


@contextmanager
def system_errors_named(path, action):
    """Turns what the operating system refuses into a CheckpointError about `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(
            f"cannot {action} '{path}': {reason}. Check space, rights and the path"
        ) from error
