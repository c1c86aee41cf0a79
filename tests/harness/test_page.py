"""The page in a real browser, if one is installed: it draws, shows a cell, fits a phone, fetches nothing."""

import shutil
import subprocess

import pytest
from report_samples import sample_results

from reports.history import lines_of
from reports.html import write_html

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for found in map(shutil.which, NAMES) if found), None)
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
FLAGS += "--disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=20000"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no browser: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    results = sample_results()
    write_html(results._replace(history=list(lines_of(results))), path)
    return path


def browse(page, tmp_path, *words, target=""):
    command = [BROWSER, *FLAGS.split(), f"--user-data-dir={tmp_path}", "--enable-logging=stderr", *words]
    run = subprocess.run([*command, f"{page.as_uri()}{target}"], capture_output=True, text=True, timeout=240)
    said = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    assert not said, said
    return run.stdout


def test_charts_are_drawn_and_a_link_opens_its_cell(page, tmp_path):
    dom = browse(page, tmp_path, "--window-size=1280,20000", "--dump-dom", target="#torch/bert")
    shown = dom.split('id="data"')[0]
    assert "Google BERT in torch" in shown and "nox -s parity-torch -- --case bert" in shown
    assert shown.count("data-drawn") == shown.count("data-chart=") + 1, "not all charts are drawn"
    assert shown.count('class="marks"') == shown.count("data-drawn")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_is_a_picture_in_light_and_dark(page, tmp_path, width, scheme):
    """Not empty, and of the scheme that was asked for. Of the page as it opens; what is drawn is tested above."""
    from parity.store import RESULTS

    picture = RESULTS / "screenshots" / f"{width}-{scheme}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    words = [f"--screenshot={picture}", f"--window-size={width},4000"]
    words.append(f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}")
    browse(page, tmp_path, *words)
    assert picture.stat().st_size > 50_000, f"{picture} is nearly empty"
