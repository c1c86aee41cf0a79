"""The implementations that are measured and judged: one row each, one class (see adapter.py) for each library.

A class of another package is found by its entry point in the group `bert4keras3.implementations`, or as module:Class.
The noxfile reads this module, so it needs the standard library and pairings/ alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import NamedTuple, Sequence

from pairings import GPU, ORACLES, PAIRINGS, PEERS, Pairing, find
from pairings.environments import ROOT, python_path

GROUP = "bert4keras3.implementations"

# They end the names of the second of two equal implementations, whose A/A control shows the noise, and of one with an
# older bert4keras3.
CONTROL, BEFORE = "-control", "-before"
OURS = "bert4keras3-"  # it begins the names of our own

# Class of each library that a pairing may hold.
ADAPTERS = {
    "bert4keras3": "ours:Ours",
    "bert4keras": "reference:Reference",
    "transformers": "transformers:Transformers",
    "keras-hub": "keras_hub:KerasHub",
    "abandoned-port": "abandoned_port:AbandonedPort",
    "onnxruntime": "onnxruntime:OnnxRuntime",
    "openvino": "openvino:OpenVino",
}
FOLDER = "bench.implementations."


class Unsupported(NotImplementedError):
    """An implementation has no such model or mode; the text says why."""


class Implementation(NamedTuple):
    """One library in one environment.

    pairing: its name in pairings/; empty for a class of another package. adapter: module:Class. switches: environment
    variables. before: wheel or git revision of the bert4keras3 that takes the place of the installed one.
    python: path of the Python that has the class of another package.
    """

    name: str
    pairing: str
    adapter: str
    switches: tuple[tuple[str, str], ...] = ()
    before: str | None = None
    python: str = ""

    @property
    def environment(self) -> Pairing:
        if not self.pairing:
            path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
            return Pairing(self.name, "", "", {"PYTHONPATH": path}, f"{self.adapter} by {self.python}")
        pairing = find(self.pairing)
        return pairing._replace(variables={**pairing.variables, **dict(self.switches)})

    @property
    def executable(self) -> Path:
        """Its Python, which may not exist yet."""
        return Path(self.python) if self.python else python_path(self.environment.environment)

    @property
    def word(self) -> str:
        """What names it behind --implementation, in every process."""
        return self.name if self.pairing else f"{self.name}={self.adapter}"


def implementation_of(pairing: Pairing) -> Implementation:
    prefix = OURS if pairing.library == "bert4keras3" else ""
    return Implementation(prefix + pairing.name, pairing.name, FOLDER + ADAPTERS[pairing.library])


# Further classes on the pairings above, with their switches.
FURTHER = (
    Implementation("bert4keras3-torch-packed", "torch", FOLDER + "ours:Ours", (("PACKED_LINEAR", "1"),)),
    Implementation("bert4keras3-web-serving", "jax", FOLDER + "http_server:WebServingOfOurs"),
    Implementation("keras-hub-jax-as-released", "keras-hub-jax", FOLDER + "keras_hub:KerasHubAsReleased"),
    Implementation(
        "sentence-transformers", "transformers", FOLDER + "sentence_transformers:SentenceTransformers"
    ),
    Implementation("embedding-server", "jax", FOLDER + "http_server:EmbeddingServer"),
)
IMPLEMENTATIONS = (
    *(implementation_of(pairing) for pairing in PAIRINGS + ORACLES + PEERS + GPU),
    *FURTHER,
)
BY_NAME: dict[str, Implementation] = {one.name: one for one in IMPLEMENTATIONS}

OURS_ON_GPU = ("bert4keras3-jax-cuda", "bert4keras3-torch-cuda")
OURS_AMONG_PEERS = tuple(OURS + name for name in ("tensorflow", "jax", "torch", "torch-packed", "openvino"))


# What `nox -s parity-peers` judges: all but the reference where it made the goldens, and our own in its pairings.
JUDGED = tuple(
    one
    for one in IMPLEMENTATIONS
    if one in FURTHER[1:] or one.pairing in {pairing.name for pairing in ORACLES[1:] + PEERS}
)


def entry_points() -> dict[str, str]:
    """{name: "module:Class"} of the implementations that packages of this Python offer."""
    try:
        from importlib import metadata
    except ImportError:  # Python 3.7
        import importlib_metadata as metadata  # type: ignore[no-redef]
    found = metadata.entry_points()
    chosen = found.select(group=GROUP) if hasattr(found, "select") else found.get(GROUP, ())
    return {one.name: one.value.replace(" ", "") for one in chosen}


def implementation_named(name: str, python: str | None = None) -> Implementation:
    """A row of the registry, or a class of another package; its name may end in `-control` or `-before`.

    name: of a row; of a row in a variant; of an entry point; module:Class; or NAME=module:Class. python: path of the
    Python that has the class of another package, if it is not this one.
    """
    first = name
    for suffix in (CONTROL, BEFORE):
        first = first[: -len(suffix)] if first.endswith(suffix) else first
    if first in BY_NAME:
        return BY_NAME[first]._replace(name=name)
    with contextlib.suppress(ValueError):
        varied = implementation_of(find(first[len(OURS) :] if first.startswith(OURS) else first))
        if varied.name == first:
            return varied._replace(name=name)
    offered = {} if ":" in first else entry_points()
    if ":" not in first and first not in offered:
        known = ", ".join([*BY_NAME, *offered])
        raise SystemExit(
            f"--implementation: no implementation is named {name}; there are {known}, and module:Class of your own"
        )
    given, _, source = first.rpartition("=")
    given = (given or first) + name[len(first) :]
    return Implementation(given, "", offered.get(first, source), python=python or sys.executable)


def add_implementation_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="SESSION", help="a pairing, or peers")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    systems = "every system at the size of its release; beside the quick scenario with --quick"
    parser.add_argument("--systems", action="store_true", help=systems)
    instead = "measure this in place of the usual ones; repeatable"
    parser.add_argument("--implementation", action="append", help=instead)
    add_python_argument(parser)
    older = "measure an older bert4keras3 too, beside each of ours, as NAME-before"
    parser.add_argument("--before", metavar="WHEEL_OR_REVISION", help=older)


def add_python_argument(parser: argparse.ArgumentParser) -> None:
    words = "the Python that has an implementation of another package; that of this command by default"
    parser.add_argument("--python", metavar="PATH", help=words)


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """(what stands behind --implementation, the path behind --python, the other arguments)."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--implementation", action="append", default=[])
    add_python_argument(parser)
    options, others = parser.parse_known_args(arguments)
    return options.implementation, options.python, others


def resolved(arguments: Sequence[str]) -> list[str]:
    """Arguments of a session that mean the same in a process of another Python, which sees other entry points."""
    names, python, others = split_arguments(arguments)
    chosen = [implementation_named(name, python) for name in names]
    words = [word for one in chosen for word in ("--implementation", one.word)]
    pythons = sorted({one.python for one in chosen if one.python})
    return words + [word for python in pythons for word in ("--python", python)] + others


def chosen_peers(arguments: Sequence[str]) -> tuple[list[Implementation], list[str]]:
    """What `nox -s parity-peers` judges, and the other arguments.

    It judges what the arguments name, or all peers and what the packages of this Python offer.
    """
    names, python, others = split_arguments(arguments)
    names = names or [*(one.name for one in JUDGED), *sorted(entry_points())]
    return [implementation_named(name, python) for name in names], others


def chosen_implementations(arguments: Sequence[str]) -> list[Implementation]:
    """Implementations of `nox -s bench-<session>`: the ones that the arguments name, or the usual ones.

    A pairing measures ours and its A/A control, on a GPU in the environment that is built for one. "peers" measures
    ours on each framework, one A/A control, the reference and all peers, or on a GPU the ones that are built for one.
    arguments: the session, then its options.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add_implementation_arguments(parser)
    options = parser.parse_known_args(arguments)[0]
    names = options.implementation
    if not names and options.session == "peers":
        on_gpu = options.device == "gpu"
        first, *ours = OURS_ON_GPU if on_gpu else OURS_AMONG_PEERS
        others = [one.name for one in (GPU if on_gpu else ORACLES + PEERS) if one.library != "bert4keras3"]
        names = [first, first + CONTROL, *ours, *others]
    if not names:
        name = OURS + options.session
        if options.device == "gpu" and name + "-cuda" in BY_NAME:
            name += "-cuda"
        names = [name, name + CONTROL]
    chosen = []
    for one in (implementation_named(name, options.python) for name in names):
        chosen.append(one)
        if (
            options.before
            and one.adapter == BY_NAME["bert4keras3-jax"].adapter
            and not one.name.endswith((CONTROL, BEFORE))
        ):
            chosen.append(one._replace(name=one.name + BEFORE, before=options.before))
    return chosen
