"""How the programs begin that measure ours in one process, without `nox -s bench-…`."""

import argparse
import os
import platform


def begin(description, rounds, kind):
    """Read --rounds, print what is measured where, and return the rounds. kind: of Keras, such as "3.15.1 on jax"."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    rounds = parser.parse_args().rounds
    facts = kind, platform.python_version(), os.cpu_count(), os.getloadavg()[0], rounds
    print("Keras %s, Python %s, %d cores, load %.1f, %d interleaved rounds" % facts)
    return rounds
