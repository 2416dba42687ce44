"""The documentation site, opened from disk in a browser: nothing is fetched, nothing is too wide, search finds."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROSE = """
const article = document.querySelector('article').cloneNode(true);
article.querySelectorAll('pre, code').forEach(element => element.remove());
return article.textContent
"""
SIZES = [(1280, 800), (390, 844)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    # a warning of the theme about the next version of its generator is none about our pages
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def requests(browser):
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("size", SIZES)
def test_pages_fetch_nothing_report_nothing_and_fit(site, browser, size):
    screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    for page in sorted({*site.rglob("*.html")} - {site / "404.html"}):  # which a server sends from its root
        browser.get(page.as_uri())
        assert [entry["message"] for entry in browser.get_log("browser")] == [], page.name
        allowed = (site.as_uri(), "data:", "blob:")
        assert [url for url in requests(browser) if not url.startswith(allowed)] == [], page.name
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth"), page.name
        broken = "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        assert browser.execute_script(broken) == [], page.name
        text = browser.execute_script(PROSE)
        assert not any(mark in text for mark in ("<!--", "-->", "](", ":class:", "\\<")), page.name


@pytest.mark.slow
@pytest.mark.browser
def test_search_works_without_a_server(site, browser):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.set_window_size(*SIZES[0])
    browser.get((site / "index.html").as_uri())
    browser.find_element("css selector", "input.md-search__input").send_keys("contact sheet")
    deadline = time.monotonic() + 20
    while not (found := browser.find_elements("css selector", ".md-search-result__link")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    pages = [link.get_attribute("href") for link in found]
    assert any("people.html" in page for page in pages)
    assert all(page.startswith(site.as_uri()) for page in pages)
