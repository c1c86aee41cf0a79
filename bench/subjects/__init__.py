"""Who is measured: one row an implementation, one adapter (a module beside this) a library.

Standard library only, as in pairings/: noxfile reads it. An adapter has

    FORMAT                              name of the folder that its weights lie in
    CHECK                               the mode whose output is judged where the measured mode has none
    convert(scenario, folder)           write the weights of a scenario in that format, once
    load(scenario, folder) → model      what "load" measures
    function(model, scenario, mode) → f f(feed) returns when its outputs are there
    feed(model, mode, inputs) → feed    from NumPy to where f takes it
    arrays(outputs) → [array]           hidden states (batch, length, hidden_size), or ids (1, length)
    settings(model) → {name: value}     optional: what decides its speed and is not the same for every model

and raises Unsupported, with the reason, for what its library does not have.
"""

import argparse
from typing import Dict, List, NamedTuple, Sequence, Tuple

from pairings import BY_NAME as PAIRINGS_BY_NAME
from pairings import GPU, ORACLES, PAIRINGS, PEERS, Pairing

AGAIN = "-again"  # behind the name of the second of two equal subjects, whose difference is noise

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
    """A subject has no such model or mode; the text says why."""


class Subject(NamedTuple):
    """One implementation in one environment. pairing: its name in pairings/. adapter: module of bench.subjects.
    switches: environment variables and their values.
    """

    name: str
    pairing: str
    adapter: str
    switches: Tuple[Tuple[str, str], ...] = ()

    @property
    def environment(self) -> Pairing:
        pairing = PAIRINGS_BY_NAME[self.pairing]
        return pairing._replace(variables={**pairing.variables, **dict(self.switches)})


def subject_of(pairing: Pairing) -> Subject:
    ours = pairing.library == "bert4keras3"
    return Subject(
        "bert4keras3-" + pairing.name if ours else pairing.name, pairing.name, ADAPTERS[pairing.library]
    )


PACKED = Subject("bert4keras3-torch-packed", "torch", "ours", (("PACKED_LINEAR", "1"),))
SUBJECTS = (*(subject_of(pairing) for pairing in PAIRINGS + ORACLES + PEERS + GPU), PACKED)
BY_NAME: Dict[str, Subject] = {subject.name: subject for subject in SUBJECTS}

OURS_ON_GPU = ("bert4keras3-jax-cuda", "bert4keras3-torch-cuda")
OURS_AMONG_PEERS = tuple(
    "bert4keras3-" + name for name in ("tensorflow", "jax", "torch", "torch-packed", "openvino")
)


def subject_named(name: str) -> Subject:
    """A row of the registry, or its twin: `NAME-again`."""
    first = name[: -len(AGAIN)] if name.endswith(AGAIN) else name
    if first not in BY_NAME:
        raise SystemExit("--subject: no subject is named %s; there are %s" % (name, ", ".join(BY_NAME)))
    return BY_NAME[first]._replace(name=name)


def add_subject_arguments(parser: argparse.ArgumentParser) -> None:
    sessions = ["peers"] + [pairing.name for pairing in PAIRINGS]
    parser.add_argument("session", choices=sessions, metavar="SESSION", help="a pairing, or peers")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--subject", action="append", help="these in place of the usual ones; repeatable")


def chosen_subjects(arguments: Sequence[str]) -> List[Subject]:
    """Subjects of `nox -s bench-<session>`: those that were chosen, or the usual ones.

    Of a pairing: ours there, twice, which shows the noise. Of "peers": ours on each framework, the first of
    them twice, the reference and all peers; on a GPU those that are built for one. arguments: the session, its options.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add_subject_arguments(parser)
    options = parser.parse_known_args(arguments)[0]
    names = options.subject
    if not names and options.session == "peers":
        on_gpu = options.device == "gpu"
        first, *ours = OURS_ON_GPU if on_gpu else OURS_AMONG_PEERS
        others = [one.name for one in (GPU if on_gpu else ORACLES + PEERS) if one.library != "bert4keras3"]
        names = [first, first + AGAIN, *ours, *others]
    if not names:
        name = "bert4keras3-" + options.session
        names = [name, name + AGAIN]
    return [subject_named(name) for name in names]
