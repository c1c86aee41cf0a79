"""The only two exceptions of reading and writing checkpoints, whatever a file contains.

Similar names are searched only when the message is shown, because a loader may skip hundreds of missing variables.
"""

import difflib
from contextlib import contextmanager
from typing import Sequence


class CheckpointError(ValueError):
    """A checkpoint cannot be read or written; the message names file, variable and remedy."""


class VariableNotFoundError(CheckpointError, KeyError):
    """The checkpoint has no variable with this name; the message lists similar names and advice."""

    def __init__(self, name: str, path: str, names: Sequence[str], advice: str = "") -> None:
        super().__init__(name, path, names, advice)
        self.name, self.path, self.names, self.advice = name, path, names, advice

    def __str__(self):
        near = difflib.get_close_matches(str(self.name), [str(name) for name in self.names], n=3)
        if near:
            hint = "similar names: " + ", ".join(repr(name) for name in near)
        else:
            hint = "no similar name; list(open_checkpoint(path)) shows all names"
        advice = f". {self.advice}" if self.advice else ""
        return f"'{self.path}' has no variable {self.name!r} among its {len(self.names)}; {hint}{advice}"


def damaged(path, reason):
    """The exception for a file that contradicts itself."""
    return CheckpointError(f"'{path}' is damaged: {reason}. Copy or download it again")


@contextmanager
def system_errors_named(path, action):
    """Context that turns an OSError into a CheckpointError about `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(
            f"cannot {action} '{path}': {reason}. Check disk space, permissions and the path"
        ) from error
