"""The feed tells what changed, each change once; the badge is green only if something was compared."""

from xml.etree import ElementTree

from report_samples import sample_results

from reports.feed import ATOM, badge, write_feed
from reports.results import Results

CHANGES = [
    {
        "kind": "change",
        "started": f"2026-01-0{day}T03:00:00Z",
        "title": f"{day} worse",
        "old": "yesterday",
        "new": "results",
        "lines": ["🔴 jax bert-mlm: newly red: error ratio <41> & more"],
    }
    for day in (1, 2)
]


def entries(folder, history):
    write_feed(Results([], {}, [], history), folder)
    root = ElementTree.parse(folder / "feed.atom").getroot()
    return [{child.tag.split("}")[1]: child.text for child in one} for one in root.iter(f"{{{ATOM}}}entry")]


def test_the_newest_change_comes_first_and_keeps_its_id(tmp_path):
    other = {"kind": "parity", "started": "2026-01-09T03:00:00Z"}
    one, two = entries(tmp_path, CHANGES[:1])[0], entries(tmp_path, [*CHANGES, other])
    assert [entry["title"] for entry in two] == ["2 worse", "1 worse"] and two[1] == one
    assert two[0]["id"] != two[1]["id"] and two[0]["updated"] == CHANGES[1]["started"]
    assert "<41> & more" in two[0]["content"]


def test_a_feed_without_a_change_is_a_feed(tmp_path):
    assert entries(tmp_path, []) == [] and (tmp_path / "badge.json").exists()


def test_the_badge_is_green_only_if_something_was_compared():
    good, bad = sample_results(red=False), sample_results()
    assert badge(good)["color"] == "brightgreen"
    assert badge(bad)["color"] == "red" and badge(bad)["message"].startswith("3 of ")
    assert badge(Results([], {}, [], []))["message"] == "nothing compared"
