"""Pictures of the page of `serve` for the documentation: clip art, labeled in Chromium by keys.

python -m benchmarks.verdict.data --mnist FOLDER --out DATA        features of the clip art, among others
python -m benchmarks.serve_page DATA                               docs/pictures/serve.png and serve-map.png
"""

import csv
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.serve import PATH, served

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
ANSWERS, TESTED, SIZE = 150, 5, (1280, 900)  # every fifth image is tested on
PATIENCE = 120  # seconds

KEY = """
return [...document.querySelectorAll("#classes button")].find((button) => button.textContent.includes(arguments[0]))
  .querySelector("kbd").textContent
"""


def write(source: Path, folder: Path) -> dict[str, str]:
    """Copy features without the labels of the pool; return the class of each image by path."""
    with (source / "labels.csv").open(newline="", encoding="utf-8") as file:
        truth = {line["path"]: line["label"] for line in csv.DictReader(file)}
    lines = [
        (path, *(("", "train") if i % TESTED else (label, "test"))) for i, (path, label) in enumerate(truth.items())
    ]
    folder.mkdir()
    shutil.copy(source / "features-000.npy", folder)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *lines])
    return truth


def take(data: Path) -> None:
    """Serve a run, answer as a person would, and take the pictures."""
    from selenium.webdriver.common.action_chains import ActionChains

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = write(data / "clipart", folder / "features")
        options = [
            "--config", "clipart", "--data.root", str(folder / "features"), "--data.classes",
            json.dumps(sorted({*truth.values()})), "--data.image_root", str(data / "pictures" / "clipart"),
            "--query", "Margin", "--loop.initial_size", "50", "--loop.query_size", "10", "--loop.query_budget", "250",
            "--loop.lag", "1",
        ]  # fmt: skip
        with served(folder, ["clip-art", *options], SIZE) as browser:
            for _ in range(ANSWERS):
                path = _until(lambda: browser.execute_script(PATH))
                key = browser.execute_script(KEY, truth[path])
                ActionChains(browser, duration=0).send_keys(key).perform()
                _until(lambda path=path: browser.execute_script(PATH) != path)
            time.sleep(8)  # the last fit
            browser.save_screenshot(str(PICTURES / "serve.png"))
            ActionChains(browser, duration=0).send_keys("m").perform()  # the map
            _until(lambda: not browser.find_element("id", "map-says").text.startswith("computing"))
            time.sleep(1)
            browser.save_screenshot(str(PICTURES / "serve-map.png"))


def _until(look: Callable[[], Any]) -> Any:
    """Wait for something true, and return it."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > end:
            raise RuntimeError(f"nothing happened on the page for {PATIENCE} s")
        time.sleep(0.02)
    return found


if __name__ == "__main__":
    take(Path(sys.argv[1]).resolve())
