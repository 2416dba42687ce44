"""The tutorial, as a reader goes through it: its commands, and a person at the pages; takes its pictures anew."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
STEPS = re.compile(r"```(python|yaml|bash)\n(.*?)```|<!-- person (\S+) -->", flags=re.DOTALL)
NAMES = {"python": "make_photos.py", "yaml": "mine.yaml"}
PICTURES = {"initial": "tutorial-initial.png", "round-000": "tutorial-round.png"}


def answer(browser, folder, name):
    """Label all images of a page by keys, the first but one of round 0 skipped, and download the file."""
    import csv
    import time

    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys
    from sklearn.datasets import load_digits

    truth = load_digits().target
    queries = folder / "runs" / "mine" / "queries"
    with (queries / f"{name}.csv").open(newline="") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    keys = [str(truth[int(Path(path).stem)]) for path in paths]
    if name == "round-000":
        keys[1] = "s"
    browser.get((queries / f"{name}.html").as_uri())
    ActionChains(browser, duration=0).send_keys(*keys[:8]).perform()
    if name in PICTURES:
        browser.save_screenshot(str(DOCS / PICTURES[name]))
    ActionChains(browser, duration=0).send_keys(*keys[8:]).perform()
    ActionChains(browser).key_down(Keys.CONTROL).send_keys("s").key_up(Keys.CONTROL).perform()
    deadline = time.monotonic() + 20
    file = folder / "Downloads" / f"{name}.csv"
    while not (file.exists() and file.stat().st_size):  # empty at first
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # selenium's own sockets
def test_the_tutorial_goes_through(browser, downloads, tmp_path):
    browser.set_window_size(1000, 700)
    (tmp_path / "Downloads").symlink_to(downloads)
    home = {**os.environ, "HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    said = []
    for kind, text, name in STEPS.findall((DOCS / "tutorial.md").read_text(encoding="utf-8")):
        if name:
            answer(browser, tmp_path, name)
        elif kind == "bash":
            done = subprocess.run(
                ["bash", "-ec", text], cwd=tmp_path, env=home, capture_output=True, text=True, check=False
            )
            print(f"$ {text}{done.stdout}")
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
        else:
            (tmp_path / NAMES[kind]).write_text(text, encoding="utf-8")
    assert "waiting for 40 labels in runs/mine/queries/initial.csv" in said[1]
    assert "waiting for 1 label in runs/mine/queries/round-000-2.csv" in said[5]
    assert "1 skipped" in said[-2]
    assert len((tmp_path / "runs" / "mine" / "ledger.csv").read_text().splitlines()) == 1 + 100
    assert len((tmp_path / "query" / "query.csv").read_text().splitlines()) == 1 + 20
