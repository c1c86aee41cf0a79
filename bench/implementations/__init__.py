"""The implementations that are measured: one row each, one adapter (a module beside this) for each library.

The noxfile reads this module, so it needs the standard library and pairings/ alone. An adapter has

    FORMAT                              name of the folder of its weights
    CHECK                               the mode whose output passes the accuracy gate if the measured mode has none
    convert(scenario, folder)           write the weights of a scenario in that format, once
    load(scenario, folder) → model      what the mode "load" measures
    function(model, scenario, mode) → f f(feed) returns when its outputs are there
    feed(model, mode, inputs) → feed    from NumPy arrays to what f takes
    arrays(outputs) → [array]           hidden states (batch, length, hidden_size), or ids (1, length)
    settings(model) → {name: value}     optional: what decides its speed and is not the same for every model

and raises Unsupported, with the reason, for what its library does not have.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import NamedTuple, Sequence

from pairings import GPU, ORACLES, PAIRINGS, PEERS, Pairing, find

# They end the names of the second of two equal implementations, whose A/A control shows the noise, and of one with an
# older bert4keras3.
CONTROL, BEFORE = "-control", "-before"

# Adapter of each library that a pairing may hold.
ADAPTERS = {
    "bert4keras3": "ours",
    "bert4keras": "reference",
    "transformers": "transformers",
    "keras-hub": "keras_hub",
    "abandoned-port": "abandoned_port",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}


class Unsupported(Exception):
    """An implementation has no such model or mode; the text says why."""


class Implementation(NamedTuple):
    """One library in one environment.

    pairing: its name in pairings/. adapter: module of bench.implementations. switches: environment variables.
    before: wheel or git revision of the bert4keras3 that takes the place of the installed one.
    """

    name: str
    pairing: str
    adapter: str
    switches: tuple[tuple[str, str], ...] = ()
    before: str | None = None

    @property
    def environment(self) -> Pairing:
        pairing = find(self.pairing)
        return pairing._replace(variables={**pairing.variables, **dict(self.switches)})


def implementation_of(pairing: Pairing) -> Implementation:
    prefix = "bert4keras3-" if pairing.library == "bert4keras3" else ""
    return Implementation(prefix + pairing.name, pairing.name, ADAPTERS[pairing.library])


PACKED = Implementation("bert4keras3-torch-packed", "torch", "ours", (("PACKED_LINEAR", "1"),))
IMPLEMENTATIONS = (*(implementation_of(pairing) for pairing in PAIRINGS + ORACLES + PEERS + GPU), PACKED)
BY_NAME: dict[str, Implementation] = {one.name: one for one in IMPLEMENTATIONS}

OURS_ON_GPU = ("bert4keras3-jax-cuda", "bert4keras3-torch-cuda")
OURS_AMONG_PEERS = tuple(
    "bert4keras3-" + name for name in ("tensorflow", "jax", "torch", "torch-packed", "openvino")
)


def implementation_named(name: str) -> Implementation:
    """A row of the registry or ours in a variant, under its own name or as `NAME-control` or `NAME-before`."""
    first = name
    for suffix in (CONTROL, BEFORE):
        first = first[: -len(suffix)] if first.endswith(suffix) else first
    if first in BY_NAME:
        return BY_NAME[first]._replace(name=name)
    before, _, pairing = first.partition("bert4keras3-")
    with contextlib.suppress(ValueError):
        if not before:
            return implementation_of(find(pairing))._replace(name=name)
    known = ", ".join(BY_NAME)
    raise SystemExit(f"--implementation: no implementation is named {name}; there are {known}")


def add_implementation_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="SESSION", help="a pairing, or peers")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    systems = "every system at the size of its release; beside the quick scenario with --quick"
    parser.add_argument("--systems", action="store_true", help=systems)
    instead = "measure this in place of the usual ones; repeatable"
    parser.add_argument("--implementation", action="append", help=instead)
    older = "measure an older bert4keras3 too, beside each of ours, as NAME-before"
    parser.add_argument("--before", metavar="WHEEL_OR_REVISION", help=older)


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
        name = "bert4keras3-" + options.session
        if options.device == "gpu" and name + "-cuda" in BY_NAME:
            name += "-cuda"
        names = [name, name + CONTROL]
    chosen = []
    for one in map(implementation_named, names):
        chosen.append(one)
        if options.before and one.adapter == "ours" and not one.name.endswith((CONTROL, BEFORE)):
            chosen.append(one._replace(name=one.name + BEFORE, before=options.before))
    return chosen
