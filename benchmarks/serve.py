"""The page of `serve`: from a key press to the next image in Chromium, from an answer to an order that reflects it."""

import contextlib
import gc
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.measure import Row

ANSWERS, QUERY, INITIAL = 200, 10, 50
STEPS = (300, 20)  # of a fit: the configuration's, and few
PACE = 0.4  # seconds from one key press to the next: a person in a hurry
WIDTH, TESTED, PICTURES = 384, 1_000, 200
SIDES = (1_600, 1_200)
# After the next image is painted: a frame has been drawn, and the task after it runs
PROBE = """
window.times = []; window.saves = [];
document.addEventListener("keydown", (event) => {
  const began = event.timeStamp, before = document.querySelector("#stage img");
  const look = () => {
    const image = document.querySelector("#stage img");
    if (!image || image === before || !image.complete || !image.naturalWidth) return requestAnimationFrame(look);
    const channel = new MessageChannel();
    channel.port1.onmessage = () => window.times.push(performance.now() - began);
    channel.port2.postMessage(0);
  };
  requestAnimationFrame(look);
  const watch = () => {
    const line = document.getElementById("saved").textContent;
    if (line.startsWith("saved")) window.saves.push(performance.now() - began); else setTimeout(watch, 2);
  };
  setTimeout(watch);
}, true);
"""
PATH = "return document.querySelector('#about .path')?.textContent"


def write(folder: Path, rows: int, pictures: bool) -> NDArray[np.int64]:
    """Write features around the centers of ten classes without labels, and a test part; return the true classes."""
    draw = np.random.default_rng(0)
    centers = draw.standard_normal((10, WIDTH), dtype=np.float32) / 4
    parts = {"pool": draw.integers(0, 10, rows), "test": draw.integers(0, 10, TESTED)}
    for name, labels in parts.items():
        (folder / name).mkdir()
        out = np.lib.format.open_memmap(folder / name / "features.npy", "w+", np.float32, (len(labels), WIDTH))
        for start in range(0, len(labels), 50_000):
            some = labels[start : start + 50_000]
            out[start : start + 50_000] = draw.standard_normal((len(some), WIDTH), dtype=np.float32) + centers[some]
        out.flush()
    np.save(folder / "test/labels.npy", parts["test"])
    if not pictures:
        np.save(folder / "pool/labels.npy", np.full(rows, -1))
        return parts["pool"]
    (folder / "pool/images").mkdir()
    for k in range(PICTURES):
        shades = draw.integers(0, 256, (SIDES[1] // 40, SIDES[0] // 40, 3), dtype=np.uint8)
        picture = Image.fromarray(shades).resize(SIDES, Image.Resampling.BICUBIC)
        ImageDraw.Draw(picture).text((200, 200), str(k), font_size=600)
        picture.save(folder / f"pool/images/{k}.jpg", quality=90)
    lines = ["path,label"]
    for i in range(rows):  # many names of few files
        if i >= PICTURES:
            os.link(folder / f"pool/images/{i % PICTURES}.jpg", folder / f"pool/images/{i}.jpg")
        lines.append(f"images/{i}.jpg,")
    (folder / "pool/labels.csv").write_text("\n".join(lines) + "\n")
    return parts["pool"]


def options(folder: Path, lag: int, budget: int) -> list[str]:
    """Return the options of a run with the configuration `embeddings`."""
    return [
        "--config", "embeddings", "--data.root", f"{folder}/pool", "--data.test_root", f"{folder}/test",
        "--data.classes", json.dumps([f"class {c}" for c in range(10)]), "--trainer.accelerator", "cpu",
        "--query", "Margin", "--loop.initial_size", str(INITIAL), "--loop.query_size", str(QUERY),
        "--loop.query_budget", str(budget), "--loop.lag", str(lag),
    ]  # fmt: skip


def orders(rows: int, steps: int, rounds: int = 12) -> list[float]:
    """Return the seconds from the last answer of each batch to the next batch, which reflects it.

    Args:
        rows: features in the pool.
        steps: training steps of a fit.
        rounds: number of batches.
    """
    from msal_lightning.cli.fit import open_loop
    from msal_lightning.oracles.told import Told

    seconds = list[float]()
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(name)
        labels = write(folder, rows, pictures=False)
        more = ["--trainer.max_steps", str(steps), "--run_dir", f"{folder}/run"]
        argv = [*options(folder, 0, rounds * QUERY), *more]
        with open_loop(argv, replace_oracle=lambda _: Told()) as (loop, _):
            gc.freeze()  # as `serve` does
            batches = loop.ask()
            while batches:
                words = {item.path: f"class {labels[item.index]}" for item in batches[0].items}
                *most, last = words
                loop.tell({path: words[path] for path in most})
                began = time.perf_counter()
                loop.tell({last: words[last]})
                batches = loop.ask()
                seconds.append(time.perf_counter() - began)
    return seconds[2:-1]  # the first rounds warm up, and the last one chooses nothing


@contextlib.contextmanager
def served(folder: Path, words: Sequence[str], size: tuple[int, int]) -> Iterator[Any]:
    """Start `serve` with some arguments, open its page in Chromium, and end both afterwards.

    Args:
        folder: for the log, and the server's working directory.
        words: arguments of `serve`.
        size: width and height of the window, in pixels.

    Yields:
        Selenium's browser.

    Raises:
        RuntimeError: the server has ended.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    chrome = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        chrome.add_argument(argument)
    chrome.binary_location = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    log = folder / "log"
    with contextlib.ExitStack() as ends, log.open("w") as out:
        browser = webdriver.Chrome(options=chrome, service=Service(shutil.which("chromedriver")))
        ends.callback(browser.quit)
        command = [sys.executable, "-m", "msal_lightning", "serve", *words]
        server = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder)
        ends.callback(server.wait, 30)
        ends.callback(server.kill)
        while not (found := re.search(r"http://\S+", log.read_text())):
            if server.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.1)
        browser.set_window_size(*size)
        browser.get(found[0])
        yield browser


def presses() -> tuple[list[float], list[float], float]:
    """Return milliseconds from each key press to the next image and to *saved*, and the seconds that a round took."""
    from selenium.webdriver.common.action_chains import ActionChains

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = write(folder, 10_000, pictures=True)
        with served(folder, [f"{folder}/run", *options(folder, 1, 2 * ANSWERS)], (1280, 800)) as browser:

            def label(count: int, pace: float) -> None:
                for _ in range(count):
                    began = time.monotonic()
                    while not (path := browser.execute_script(PATH)):
                        time.sleep(0.01)
                    number = int(labels[int(Path(path).stem)])
                    ActionChains(browser, duration=0).send_keys(str((number + 1) % 10)).perform()
                    time.sleep(max(0.0, pace - (time.monotonic() - began)))

            label(INITIAL + 2 * QUERY, 0.1)
            time.sleep(5)
            browser.execute_script(PROBE)
            label(ANSWERS, PACE)
            time.sleep(2)
            times, saves = browser.execute_script("return [window.times, window.saves]")
            state: Any = browser.execute_async_script(
                "const done = arguments[0]; import('/work.js').then((found) => done(found.work.state));"
            )
    return times, saves, float(state["learned_in"])


def run() -> list[Row]:
    """The page first, on an otherwise idle machine."""
    times, saves, learned = presses()
    figures = {"median ms": float(np.median(times)), "95 % ms": float(np.quantile(times, 0.95)), "answers": len(times)}
    saved = {"median ms": float(np.median(saves)), "95 % ms": float(np.quantile(saves, 0.95)), "a round s": learned}
    rows = [
        Row("key press to the next image, median", figures, figures["median ms"], 50, at_least=False),
        Row("key press to the next image, 95 %", figures, figures["95 % ms"], 100, at_least=False),
        Row("key press to saved, median", saved, saved["median ms"]),
    ]
    for count, target in ((10_000, 0.1), (1_000_000, 2.0)):
        for steps in STEPS:
            seconds = orders(count, steps)
            spread = {"median s": float(np.median(seconds)), "95 % s": float(np.quantile(seconds, 0.95))}
            case = f"last answer to the next order, {count:,} × {WIDTH}, {steps} steps"
            rows.append(Row(case, spread, spread["median s"], target, at_least=False))
    return rows
