"""The page in a real browser: a run is labeled to its end, and gives what `fit` with files gives."""

import csv
import json
import time

import pytest

from msal_lightning.cli.main import main
from msal_lightning.runs.pending import pending

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # selenium's own sockets
]


def press(browser, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    actions = ActionChains(browser, duration=0)
    for key in keys:
        actions.send_keys(key)
    actions.perform()


def current(browser):
    """Path of the image that the person sees; None if there is none."""
    return browser.execute_script("return document.querySelector('#about .path')?.textContent")


def until(condition, limit=60):
    end = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def text(browser, name):
    return browser.find_element("id", name).text


def label_until(browser, truth, done):
    while until(lambda: done() or current(browser)) is not True:
        path = current(browser)
        if path:
            press(browser, truth[path])
            until(lambda: done() or current(browser) != path)  # noqa: B023


def fill(file, truth):
    with file.open(newline="") as lines:
        header, *rows = csv.reader(lines)
    path, label = header.index("path"), header.index("label")
    for row in rows:
        row[label] = truth[row[path]]
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])


def test_a_run_is_labeled_to_its_end(served, browser, digit_features, options_of_run, tmp_path):
    from selenium.webdriver.common.keys import Keys

    truth = dict(digit_features[1])
    options = options_of_run(10, 5, 5)
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what came before
    server = served("run", *options)
    browser.get(server.address)
    first = until(lambda: current(browser))
    press(browser, "s")  # not usable
    truth[first] = "skip"
    second = until(lambda: (path := current(browser)) != first and path)
    press(browser, "9" if truth[second] == "0" else "0")  # a mistake
    until(lambda: current(browser) != second)
    press(browser, "z", truth[second])
    until(lambda: "saved" in text(browser, "saved") and text(browser, "count").startswith("1 of 15"))
    browser.refresh()
    press(browser, "g")
    until(lambda: len(browser.find_elements("css selector", "#grid figure")) == 8)
    press(browser, "g")
    label_until(browser, truth, lambda: browser.find_element("id", "accept").is_displayed())  # until a model predicts
    suggested = until(lambda: browser.find_element("id", "accept").text.split()[1])
    truth[current(browser)] = suggested
    press(browser, Keys.ENTER)
    label_until(browser, truth, lambda: "The run has finished" in text(browser, "message"))
    assert "with 15 labels" in text(browser, "message")
    assert "extend run --labels" in text(browser, "message")
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert all(url.startswith(server.address.partition("/?")[0]) for url in requests)

    argv = ["fit", *options, "--oracle", "Files", "--run_dir", str(tmp_path / "files")]
    for _ in range(10):
        assert main(argv) == 0
        if not (batch := pending(tmp_path / "files")):
            break
        fill(batch.folder / f"{batch.name}.csv", truth)
    ledgers = [(tmp_path / name / "ledger.csv").read_text() for name in ("run", "files")]
    assert ledgers[0] == ledgers[1]
    assert ledgers[0].count("\n") == 16  # with a header
    assert first not in ledgers[0]
