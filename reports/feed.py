"""What changed from night to night, as an Atom feed, and the newest verdict as a badge.

The feed has an entry for each comparison that the history keeps: `python -m reports compare A B --keep`. The badge is
JSON as https://shields.io/badges/endpoint-badge reads it.
"""

import hashlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from parity.store import write_json, write_whole
from reports.history import CHANGE, identity
from reports.results import Results, is_set_apart, why_red

ATOM = "http://www.w3.org/2005/Atom"
ENTRIES = 50
TITLE = "bert4keras3: what changed"


def write_feed(results: Results, folder: Path) -> list[Path]:
    paths = [folder / "feed.atom", folder / "badge.json"]
    text = feed(results.history)
    write_whole(paths[0], lambda file: file.write(text))
    write_json(paths[1], badge(results))
    return paths


def feed(history: list[dict[str, Any]]) -> bytes:
    """The newest entries first. An entry keeps its id when the feed is written again."""
    changes = [line for line in history if line["kind"] == CHANGE]
    changes = sorted(changes, key=lambda line: line["started"], reverse=True)[:ENTRIES]
    ElementTree.register_namespace("", ATOM)
    root = ElementTree.Element(f"{{{ATOM}}}feed")
    add(root, "title", TITLE)
    add(root, "id", "urn:bert4keras3:changes")
    add(root, "updated", changes[0]["started"] if changes else "1970-01-01T00:00:00Z")
    ElementTree.SubElement(add(root, "author"), f"{{{ATOM}}}name").text = "bert4keras3"
    for line in changes:
        entry = add(root, "entry")
        add(entry, "title", line["title"])
        add(entry, "id", f"urn:sha256:{hashlib.sha256(identity(line).encode()).hexdigest()}")
        add(entry, "updated", line["started"])
        add(entry, "content", "\n".join(line["lines"])).set("type", "text")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def add(parent: ElementTree.Element, name: str, text: str | None = None) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, f"{{{ATOM}}}{name}")
    element.text = text
    return element


def badge(results: Results) -> dict[str, Any]:
    """Green only if something was compared and nothing is red."""
    judged = [cell for cell in results.cells if not is_set_apart(cell)]
    red, count = sum(bool(why_red(cell)) for cell in judged), len(judged)
    message = (
        f"{red} of {count} cells red" if red else f"{count} cells green" if count else "nothing compared"
    )
    colour = "red" if red else "brightgreen" if count else "lightgrey"
    return {"schemaVersion": 1, "label": "parity", "message": message, "color": colour}
