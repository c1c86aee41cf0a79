"""tox's environments: one for each session of the noxfile, so that a new pairing has its environments at once."""

import re
import sys
from pathlib import Path

from tox.plugin import impl

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from pairings import NIGHTLY, PAIRINGS, PUBLISHED  # noqa: E402


@impl
def tox_extend_envs():
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    named = re.findall(r"^@nox\.session\ndef (\w+)", noxfile, re.MULTILINE)
    made = [f"{kind}-{pairing.name}" for kind in ("parity", "tests", "bench") for pairing in PAIRINGS]
    made += [f"parity-{pairing.name}" for pairing in NIGHTLY]
    return [*named, *made, *(f"published-{name}" for name in PUBLISHED), "bench-peers", "parity-peers"]
