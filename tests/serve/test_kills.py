"""Two people label while the server is killed and one browser reloads: every acknowledged answer is in the ledger."""

import csv
import json
import random
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

pytestmark = [
    pytest.mark.faults,
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # selenium's own sockets
]
KILLS = RELOADS = 10


class Program(threading.Thread):
    """A person without a browser, who notes each answer once the server has said that it is on disk."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.site, self.token = address.split("/?token=")
        self.said, self.acknowledged, self.phase = {}, {}, ""
        self.draw, self.failures = random.Random(1), 0

    def post(self, path, body):
        body = json.dumps({"browser": "b" * 16, "want": 4, "annotator": "ben", **body}).encode()
        headers = {"authorization": f"Bearer {self.token}"}
        with urllib.request.urlopen(urllib.request.Request(self.site + path, body, headers), timeout=30) as reply:
            return json.load(reply)

    def run(self):
        words, paths = {}, {}  # an answer without a reply is sent again
        while self.phase != "done":
            try:
                reply = self.post("/answer", {"words": words}) if words else self.post("/sync", {})
            except OSError:
                self.failures += 1
                time.sleep(0.05)
                continue
            refused = reply.get("refused", {})
            self.acknowledged |= {paths[i]: word for i, word in words.items() if i not in refused}
            self.phase = reply["state"]["phase"]
            words = {str(image["index"]): str(self.draw.randrange(10)) for image in reply["images"][:1]}
            paths = {str(image["index"]): image["path"] for image in reply["images"]}
            self.said |= {paths[i]: word for i, word in words.items()}
            time.sleep(0.02)


def test_every_acknowledged_answer_is_in_the_ledger_once(served, browser, options_of_run, tmp_path, faults_table):
    from selenium.webdriver.common.action_chains import ActionChains

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    server = served("run", "--port", port, *options_of_run(20, 10, 280))
    browser.get(server.address)
    browser.execute_script("localStorage.setItem('msal:annotator', 'anna')")
    program, draw = Program(server.address), random.Random(0)
    program.start()
    pressed, kills, reloads, shown, since = {}, 0, 0, None, 0.0
    end = time.monotonic() + 900
    while program.phase != "done":
        assert time.monotonic() < end
        path = browser.execute_script("return document.querySelector('#about .path')?.textContent")
        if path and (path != shown or time.monotonic() > since + 1):  # the page ignores keys after a change of its own
            pressed.setdefault(path, str(draw.randrange(10)))
            ActionChains(browser, duration=0).send_keys(pressed[path]).perform()
            shown, since = path, time.monotonic()
        done = len(pressed) + len(program.acknowledged)
        if reloads < RELOADS and done > 290 * (reloads + 0.5) / RELOADS:
            browser.refresh()  # while answers may be on their way
            reloads, shown = reloads + 1, None
        if kills < KILLS and done > 290 * (kills + 1) / (KILLS + 1):
            server.stop()
            kills += 1
            server = served("run", "--port", port)
    program.join(30)
    saved = "return document.getElementById('saved').textContent.startsWith('saved') && sessionStorage['msal:history']"
    while not (history := browser.execute_script(saved)):
        assert time.monotonic() < end
        time.sleep(0.1)
    kept = {one["image"]["path"]: one["word"] for group in json.loads(history) for one in group}
    with (tmp_path / "run/ledger.csv").open(newline="") as lines:
        rows = [*csv.DictReader(lines)]
    ledger = {row["path"]: row["label"] for row in rows}
    assert (kills, reloads) == (KILLS, RELOADS)
    assert len(ledger) == len(rows) == 300
    for acknowledged in (kept, program.acknowledged):
        assert len(acknowledged) > 20
        lost = {path: (word, ledger.get(path)) for path, word in acknowledged.items() if ledger.get(path) != word}
        assert not lost, [(path, words, pressed.get(path), program.said.get(path)) for path, words in lost.items()]
    for path, label in ledger.items():
        assert label in (pressed.get(path), program.said.get(path))
    faults_table(
        "A server that is killed while two people label",
        {
            "answers in the ledger": len(ledger),
            "acknowledged by the page": len(kept),
            "acknowledged to the program": len(program.acknowledged),
            "kills of the server": kills,
            "reloads of the browser": reloads,
            "requests that failed": program.failures,
            "acknowledged answers lost or doubled": 0,
        },
    )
