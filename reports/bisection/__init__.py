"""Which version of a package, or which commit, made something worse: `python -m reports bisect`, `nox -s bisect`.

candidates.py lists what to choose from, places.py makes the environment of a candidate, judges.py run it, search.py
decides whom to run next and what follows, and command.py prints the answer.
"""
