"""The contact sheet in a real browser: keys, the file that comes out, and what stays after a reload."""

import base64
import io
import json
import random
import time

import numpy as np
import pytest
from PIL import Image

from msal_lightning.data.images.decoding import Decoding
from msal_lightning.oracles.base import Annotation, LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.contact_sheet import SheetTable, write_sheet
from msal_lightning.oracles.csv_files.csv_file import read_answers, read_votes, write_csv

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # selenium's own sockets
]
STRANGE = ("<script>alert(1)</script>", 'a "quoted", one', "two\nlines", "日本 é", "constructor", "=1+1", "plain")
NAMES = tuple(f"class {c}" for c in range(10))
KEYS = "1234567890"


@pytest.fixture
def ask(tmp_path, browser):
    """``ask(names, 100)``: opens the page of so many images and gives their question."""

    def batch(names, count, allow_new_classes=False, paths=None, side=28, annotator="", guesses=None):
        draw = np.random.default_rng(0)
        items = []
        for rank in range(count):
            file = tmp_path / f"{rank}.png"
            Image.fromarray(draw.integers(0, 256, (side, side), dtype=np.uint8)).save(file)
            path = paths[rank] if paths else f"photos/{rank}.png"
            rank = 2 * rank if annotator else rank  # others have the images between
            guess = (guesses or names)[rank % len(guesses or names)]
            items.append(LabelingTask(rank * 3, path, file, guess, 1 / (rank + 1), 0.9, rank))
        request = LabelingBatch("round-003", tuple(items), tuple(names), tmp_path / "queries")
        write_sheet(request, tmp_path / "round-003.html", allow_new_classes, table=SheetTable.of(request, annotator))
        for kind in ("browser", "performance"):
            browser.get_log(kind)  # what came before
        browser.set_window_size(1200, 900)
        browser.get((tmp_path / "round-003.html").as_uri())
        return request

    return batch


def press(browser, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    actions = ActionChains(browser, duration=0)
    for key in keys:
        actions.send_keys(key)
    actions.perform()


def shortcut(browser, key):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    ActionChains(browser).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()


def download(browser, downloads):
    """The file that Ctrl+S hands out."""
    for file in downloads.iterdir():
        file.unlink()
    shortcut(browser, "s")
    deadline = time.monotonic() + 20
    while not (found := [f for f in downloads.iterdir() if f.suffix == ".csv" and f.stat().st_size]):  # empty at first
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found[0]


def count(browser):
    return browser.find_element("id", "count").text


def test_a_class_of_one_letter_is_its_own_key(ask, browser, downloads):
    """Also s and u, which say something else, and a class that comes in later."""
    names = ("0", "1", "7", "s", "A", "cat")
    batch = ask(names, 8, allow_new_classes=True)
    press(browser, "1", "0", "7", "a", "2", "3", "/")  # the first keys that are left: s has 2, cat has 3
    field = browser.find_element("id", "search")
    field.send_keys("9\n")
    browser.refresh()
    press(browser, "9")
    said = [answer.label for answer in read_answers(batch, download(browser, downloads), True)]
    assert said == ["1", "0", "7", "A", "s", "cat", "9", "9"]


def test_the_file_names_who_labels(ask, browser, downloads):
    batch = ask(("cat", "dog"), 3, annotator="=ben")
    press(browser, "1", "2", "1")
    file = download(browser, downloads)
    cat, dog = Annotation("cat"), Annotation("dog")
    assert read_votes(batch, file) == [{"=ben": cat}, {"=ben": dog}, {"=ben": cat}]
    assert [line.split(",")[3:] for line in file.read_text().splitlines()] == [
        ["rank", "annotator", "label"], ["0", "'=ben", "cat"], ["2", "'=ben", "dog"], ["4", "'=ben", "cat"],
    ]  # fmt: skip


def test_a_hundred_images_by_keys(ask, browser, downloads):
    batch = ask(NAMES, 100)
    truth = random.Random(0).choices(range(10), k=100)
    for c in truth[:60]:
        press(browser, KEYS[c])
    assert count(browser) == "60 of 100 labeled"
    browser.refresh()
    assert count(browser) == "60 of 100 labeled"
    press(browser, *(KEYS[c] for c in truth[60:]))
    assert count(browser) == "100 of 100 labeled"
    file = download(browser, downloads)
    assert file.name == "round-003.csv"
    assert read_answers(batch, file) == [Annotation(NAMES[c]) for c in truth]
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)
    assert requests


def test_the_other_keys(ask, browser, downloads):
    from selenium.webdriver.common.keys import Keys

    batch = ask(NAMES, 12)
    press(browser, Keys.ENTER, "s", "u", "3", Keys.ARROW_LEFT, Keys.BACKSPACE, "4")  # 3: corrected to 4
    press(browser, "5", "6")
    shortcut(browser, "z")
    assert count(browser) == "5 of 12 labeled"
    press(browser, "/", *"class 9", Keys.ENTER)
    answers = [
        Annotation(NAMES[0]),
        Annotation(None, "skip"),
        Annotation(None, "unsure"),
        Annotation(NAMES[3]),
        Annotation(NAMES[4]),
    ]
    expected = [*answers, Annotation(NAMES[9]), *[None] * 6]
    assert read_answers(batch, download(browser, downloads)) == expected
    press(browser, " ")
    assert browser.find_element("id", "zoom").is_displayed()
    press(browser, Keys.ESCAPE)
    assert not browser.find_element("id", "zoom").is_displayed()
    browser.find_element("id", "only-blank").click()
    assert sum(figure.is_displayed() for figure in browser.find_elements("tag name", "figure")) == 6
    assert browser.get_log("browser") == []


def test_strange_names_are_text_and_come_back(ask, browser, downloads):
    paths = [f'=cmd|{name}/x,"{i}".png' for i, name in enumerate(STRANGE)]
    batch = ask(STRANGE, len(STRANGE), paths=paths)
    press(browser, *KEYS[: len(STRANGE)])
    file = download(browser, downloads)
    answers = read_answers(batch, file)
    assert answers == [Annotation(name) for name in STRANGE]
    write_csv(batch, file.with_name("ours"), answers)
    assert file.read_bytes() == file.with_name("ours").read_bytes()
    shown = [element.text for element in browser.find_elements("css selector", "figcaption .label")]
    assert [text.split() for text in shown] == [name.split() for name in STRANGE]
    assert browser.get_log("browser") == []


def test_many_classes_are_typed(ask, browser, downloads):
    from selenium.webdriver.common.keys import Keys

    names = [f"species {c:03d}" for c in range(200)]
    batch = ask(names, 5)
    press(browser, *"123", Keys.ENTER, Keys.ENTER, "-", *"skip", Keys.ENTER)
    answers = [
        Annotation("species 123"),
        Annotation("species 001"),
        Annotation(None, "skip"),
        Annotation(None, "skip"),
        None,
    ]
    assert read_answers(batch, download(browser, downloads)) == answers


def test_new_classes_only_where_they_are_admitted(ask, browser, downloads):
    from selenium.webdriver.common.keys import Keys

    batch = ask(("cat", "dog"), 4, allow_new_classes=True)
    press(browser, "/", *"horse", Keys.ENTER, "3", "1")
    answers = [Annotation("horse"), Annotation("horse"), Annotation("cat"), None]
    file = download(browser, downloads)
    assert read_answers(batch, file, allow_new_classes=True) == answers
    browser.refresh()
    assert count(browser) == "3 of 4 labeled"
    batch = ask(("cat", "dog"), 3)
    press(browser, "/", *"horse", Keys.ENTER)
    assert count(browser) == "0 of 3 labeled"


def test_an_image_that_cannot_be_read_is_its_path(tmp_path, browser):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    items = (LabelingTask(0, "<b>broken</b>.jpg", tmp_path / "broken.jpg", None, None, None, 0),)
    write_sheet(LabelingBatch("initial", items, ("a", "b"), tmp_path), tmp_path / "initial.html")
    browser.get((tmp_path / "initial.html").as_uri())
    assert browser.find_element("class name", "unreadable").text == "cannot be read: <b>broken</b>.jpg"


@pytest.fixture
def wide(tmp_path, browser):
    """A page of an 8-bit image, one of 12 bits and one that is gone; all 900 x 600, and read in a way of one's own."""

    def show(how, about=""):
        files = [tmp_path / "photos #1" / name for name in ("8 bits, 50%.jpg", "12.png", "gone.jpg")]
        files[0].parent.mkdir(exist_ok=True)
        slope = np.tile(np.linspace(0, 1, 900), (600, 1))
        for file in (files[0], files[2]):
            Image.fromarray((slope * 255).astype(np.uint8)).save(file)
        Image.fromarray((slope * 4095).astype(np.uint16)).save(files[1])
        items = [LabelingTask(k, file.name, file, "a", 1.0, 0.5, k) for k, file in enumerate(files)]
        page = tmp_path / "queries" / "initial.html"
        page.parent.mkdir(exist_ok=True)
        write_sheet(LabelingBatch("initial", tuple(items), ("a", "b"), page.parent), page, False, how, about)
        files[2].unlink()
        browser.get(page.as_uri())
        return files

    return show


def enlarged(browser):
    """The source and the width in pixels of the large picture, once it is loaded."""
    press(browser, " ")
    deadline = time.monotonic() + 20
    script = "const i = document.querySelector('#zoom img'); return [i.src, i.complete ? i.naturalWidth : 0]"
    while not (found := browser.execute_script(script))[1]:
        assert time.monotonic() < deadline
    press(browser, " ")
    return found


def test_the_original_is_one_key_and_one_click_away(wide, browser):
    from selenium.webdriver.common.keys import Keys

    files = wide(Decoding(64, 1, ranges={"uint16": (0, 4095)}))
    assert enlarged(browser) == [files[0].as_uri(), 900]
    # in one step, because the page draws this part anew when an image has been loaded
    assert browser.execute_script("return document.querySelector('#about a').href") == files[0].as_uri()
    press(browser, Keys.ARROW_RIGHT)
    source, width = enlarged(browser)  # a browser shows 12 bits of 16 as black
    assert source.startswith("data:image/jpeg")
    assert width == 900
    levels = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert np.ptp(np.asarray(levels).astype(int)) > 240
    press(browser, Keys.ARROW_RIGHT)
    source, width = enlarged(browser)
    assert (source[:5], width) == ("data:", 320)


SHARES = """
const box = (of) => document.querySelector(of)?.getBoundingClientRect();
const [outer, inner] = [box("#stage .frame"), box("#stage .seen")];
return inner && [(inner.left - outer.left) / outer.width, inner.width / outer.width, inner.height / outer.height]
"""


def test_what_the_model_sees_is_marked_and_said(wide, browser):
    wide(Decoding(64, 1, ranges={"uint16": (0, 4095)}), "value range 0 to 4095 of uint16 (as recorded)")
    assert browser.execute_script(SHARES) == pytest.approx([1 / 6, 2 / 3, 1], abs=0.01)
    said = browser.execute_script("return document.getElementById('how').innerText")  # blank if it is hidden
    assert said.startswith("the model sees the part inside the frame")
    assert said.endswith("; value range 0 to 4095 of uint16 (as recorded)")
    wide(Decoding(64, 1, "letterbox", padding=(0,)))
    assert browser.execute_script(SHARES) is None
    assert browser.find_element("id", "how").text == "the model sees the whole image, letterboxed"


def ticked(browser):
    """Numbers of the selected images."""
    return browser.execute_script(
        "return [...document.querySelectorAll('figure[aria-selected=true]')].map((one) => Number(one.id.slice(6)))"
    )


def displayed(browser):
    return [
        int(one.get_attribute("id")[6:]) for one in browser.find_elements("tag name", "figure") if one.is_displayed()
    ]


def click(browser, image, *held):
    from selenium.webdriver.common.action_chains import ActionChains

    actions = ActionChains(browser, duration=0)
    for key in held:
        actions.key_down(key)
    actions.click(browser.find_element("id", f"image-{image}"))
    for key in held:
        actions.key_up(key)
    actions.perform()


def test_sixty_good_parts_are_a_few_keys(ask, browser, downloads):
    """One predicted class after the other: exceptions first, then the rest at once."""
    from selenium.webdriver.common.keys import Keys

    batch = ask(("ok", "scratch", "dent"), 90, guesses=[*["ok"] * 4, "scratch", "dent"])
    press(browser, ".")
    assert displayed(browser) == [k for k in range(90) if k % 6 < 4]
    click(browser, 7)
    press(browser, "2")  # a scratch among them
    shortcut(browser, "a")
    assert ticked(browser) == [k for k in range(90) if k % 6 < 4 and k != 7]
    assert browser.find_element("id", "about").text == "59 images selected\npredicted: ok 59"
    press(browser, Keys.ENTER)
    assert count(browser) == "60 of 90 labeled"
    shortcut(browser, "z")
    assert count(browser) == "1 of 90 labeled"
    assert len(ticked(browser)) == 59
    press(browser, Keys.ENTER, ".")
    assert displayed(browser) == [k for k in range(90) if k % 6 == 4]
    browser.find_element("id", "select-shown").click()
    press(browser, "3", ",", ",")
    assert len(displayed(browser)) == 90
    shortcut(browser, "a")  # what is left
    press(browser, Keys.ENTER)
    expected = ["scratch" if k == 7 else "dent" if k % 6 >= 4 else "ok" for k in range(90)]
    assert [answer.label for answer in read_answers(batch, download(browser, downloads))] == expected
    assert browser.get_log("browser") == []


def test_several_images_by_mouse_and_by_keys(ask, browser, downloads):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    batch = ask(NAMES, 12)
    click(browser, 1)
    click(browser, 3, Keys.SHIFT)
    assert ticked(browser) == [1, 2, 3]
    click(browser, 2, Keys.CONTROL)
    click(browser, 5, Keys.CONTROL)
    assert ticked(browser) == [1, 3, 5]
    press(browser, "7")
    assert ticked(browser) == [6]  # the next blank one
    ActionChains(browser, duration=0).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT * 3).key_up(Keys.SHIFT).perform()
    assert ticked(browser) == [6, 7, 8, 9]
    press(browser, Keys.ENTER)  # each its own prediction
    press(browser, Keys.ARROW_LEFT)
    ActionChains(browser, duration=0).key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT).key_up(Keys.SHIFT).perform()
    press(browser, Keys.BACKSPACE, Keys.ESCAPE)
    assert len(ticked(browser)) == 1
    expected = [None, 6, None, 6, None, 6, 6, 7, None, None, None, None]
    answers = [answer and NAMES.index(answer.label) for answer in read_answers(batch, download(browser, downloads))]
    assert answers == expected
    browser.refresh()
    assert count(browser) == "5 of 12 labeled"


VIEW = """
const image = document.querySelector("#viewport img").getBoundingClientRect();
const room = document.querySelector("#viewport").getBoundingClientRect();
return [image.left - room.left, image.top - room.top, image.width, room.width, room.height]
"""


def test_zoom_and_pan_stay_on_the_image(wide, browser):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    wide(Decoding(64, 1, ranges={"uint16": (0, 4095)}))
    press(browser, " ")
    left, top, width, across, down = browser.execute_script(VIEW)
    assert width == pytest.approx(min(across, 1.5 * down), abs=1)
    assert (left, top) == pytest.approx(((across - width) / 2, (down - width / 1.5) / 2), abs=1)
    press(browser, "+", "+")
    zoomed = browser.execute_script(VIEW)
    assert zoomed[2] == pytest.approx(2.25 * width, rel=0.01)
    press(browser, Keys.ARROW_RIGHT)
    assert browser.execute_script(VIEW)[0] == pytest.approx(zoomed[0] - 120, abs=1)
    press(browser, *[Keys.ARROW_RIGHT] * 20)  # not beyond the edge
    assert browser.execute_script(VIEW)[0] == pytest.approx(across - zoomed[2], abs=1)
    room = browser.find_element("id", "viewport")
    ActionChains(browser, duration=0).drag_and_drop_by_offset(room, 50, 0).perform()
    assert browser.execute_script(VIEW)[0] == pytest.approx(across - zoomed[2] + 50, abs=2)
    browser.execute_script(
        "const room = document.querySelector('#viewport'), box = room.getBoundingClientRect();"
        "room.dispatchEvent(new WheelEvent('wheel', {deltaY: -400, clientX: box.left, clientY: box.top}))"
    )
    near = browser.execute_script(VIEW)  # the corner under the pointer stays
    assert near[0] == pytest.approx(np.e * (across - zoomed[2] + 50), rel=0.01)
    press(browser, Keys.PAGE_DOWN)
    labels = [button.text for button in browser.find_elements("css selector", "#view-classes button")]
    assert labels == ["a\na", "b\nb", "s\nnot usable", "u\ncannot tell"]
    press(browser, "b")
    assert browser.find_element("id", "zoom").is_displayed()
    press(browser, " ")
    assert count(browser) == "1 of 3 labeled"
    assert browser.find_element("css selector", "#image-1 .label").text == "b"


def test_the_input_of_the_model_is_drawn(wide, browser):
    """A ramp from black to white, cut to its middle 600 of 900 columns, in 64 columns."""
    wide(Decoding(64, 1, ranges={"uint16": (0, 4095)}))
    press(browser, " ")
    deadline = time.monotonic() + 20
    while not browser.find_elements("css selector", "#sees canvas"):
        assert time.monotonic() < deadline
    canvas = browser.find_element("css selector", "#sees canvas")
    assert canvas.get_attribute("width") == "64"
    shown = Image.open(io.BytesIO(canvas.screenshot_as_png)).convert("L")
    middle = np.asarray(shown)[shown.height // 2, 2:-2].astype(int)
    assert middle[[0, -1]].tolist() == pytest.approx([255 / 6, 255 * 5 / 6], abs=8)


def test_labels_to_check_are_taken_over_or_kept(tmp_path, browser, downloads):
    from selenium.webdriver.common.keys import Keys

    items, rows = [], []
    for rank in range(4):
        items.append(LabelingTask(rank, f"{rank}", tmp_path, "=b" if rank % 2 else "a", None, 0.8, rank))
        rows.append(
            {"path": f"{rank}", "given": "<i>", "suspected": items[-1].suggested, "confidence": 0.1, "label": ""}
        )
    table = SheetTable(("path", "given", "suspected", "confidence", "label"), rows, "correct RUN")
    batch = LabelingBatch("suspects", tuple(items), ("a", "=b", "<i>"), tmp_path)
    pixels = [Image.new("L", (28, 28), 60 * rank) for rank in range(4)]
    write_sheet(batch, tmp_path / "suspects.html", table=table, pixels=pixels)
    browser.get_log("browser")  # what came before
    browser.get((tmp_path / "suspects.html").as_uri())
    assert browser.find_element("id", "about").text == "1 of 4\ngiven: <i>, 10 % sure\nsuspected: a, 80 % sure\n0"
    press(browser, Keys.ENTER, Keys.ENTER, "=", "s", "u")  # nothing is left out here
    file = download(browser, downloads)
    answers = read_answers(batch, file)
    assert answers == [Annotation("a"), Annotation("=b"), Annotation("<i>"), None]
    assert file.read_text().splitlines()[:3] == [
        "path,given,suspected,confidence,label",
        "0,<i>,a,0.1,a",
        "1,<i>,'=b,0.1,'=b",
    ]
    assert "correct RUN suspects.csv" in browser.find_element("id", "after").text
    assert browser.get_log("browser") == []
