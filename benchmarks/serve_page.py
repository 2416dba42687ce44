"""Pictures of the page of `serve` for the documentation: clip art, labeled in Chromium by keys.

python -m benchmarks.verdict.data --mnist FOLDER --out DATA        features of the clip art, among others
python -m benchmarks.serve_page DATA                               docs/pictures/serve.png and serve-map.png
"""

import csv
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.serve import PATH

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
ANSWERS, TESTED, SIZE = 150, 5, (1280, 900)  # every fifth image is tested on

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
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.action_chains import ActionChains

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = write(data / "clipart", folder / "features")
        classes = sorted({*truth.values()})
        options = [
            "--config", "clipart", "--data.root", str(folder / "features"), "--data.classes", json.dumps(classes),
            "--data.image_root", str((data / "pictures" / "clipart").resolve()), "--query", "Margin",
            "--loop.initial_size", "50", "--loop.query_size", "10", "--loop.query_budget", "250", "--loop.lag", "1",
        ]  # fmt: skip
        chrome = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            chrome.add_argument(argument)
        chrome.binary_location = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
        browser = webdriver.Chrome(options=chrome, service=Service(shutil.which("chromedriver")))

        log = (folder / "log").open("w+")
        command = [sys.executable, "-m", "msal_lightning", "serve", "clip-art", *options]
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)

        def current() -> Any:
            return browser.execute_script(PATH)

        try:
            while not (found := re.search(r"http://\S+", (folder / "log").read_text())):
                if server.poll() is not None:
                    raise RuntimeError((folder / "log").read_text())
                time.sleep(0.1)
            browser.set_window_size(*SIZE)
            browser.get(found[0])
            for _ in range(ANSWERS):
                while not (path := current()):
                    if server.poll() is not None:
                        raise RuntimeError((folder / "log").read_text())
                    time.sleep(0.05)
                key = browser.execute_script(KEY, truth[path])
                ActionChains(browser, duration=0).send_keys(key).perform()
                end = time.monotonic() + 5
                while current() == path and time.monotonic() < end:
                    time.sleep(0.02)
            time.sleep(8)  # the last fit
            browser.save_screenshot(str(PICTURES / "serve.png"))
            ActionChains(browser, duration=0).send_keys("m").perform()  # the map
            end = time.monotonic() + 120
            while browser.find_element("id", "map-says").text.startswith("computing") and time.monotonic() < end:
                time.sleep(0.2)
            time.sleep(1)
            browser.save_screenshot(str(PICTURES / "serve-map.png"))
        finally:
            print((folder / "log").read_text())
            server.kill()
            server.wait(30)
            log.close()
            browser.quit()


if __name__ == "__main__":
    take(Path(sys.argv[1]).resolve())
