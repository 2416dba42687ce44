"""The page in a real browser: it draws, answers to the pointer, and asks for nothing."""

import json

import pytest

from msal_lightning.cli.main import main

STRANGE = ["<script>alert(1)</script>", "<img src=x onerror=alert(2)> \"é\" '日本' &amp;"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # selenium's own sockets
]


@pytest.fixture
def page(browser, write_run, folder, tmp_path):
    for seed, shift in ((0, 0.0), (1, 0.02)):
        for query, accuracies in {
            "Random": [0.5, 0.6, 0.7],
            "Margin": [0.5, 0.7, 0.8],
            "Entropy": [0.4, 0.5, 0.6],
        }.items():
            write_run(f"{query}<i>{seed}", [a + shift for a in accuracies], query, seed, class_names=STRANGE)
    unfinished = {"initial_size": 2, "query_size": 2, "query_budget": 4}
    write_run("<b onclick=alert(3)>&quot;日本 <script>alert(4)<", [0.5], "BALD", 0, loop=unfinished)
    assert main(["report", str(folder), "--out", str(tmp_path / "out")]) == 0
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what came before
    browser.set_window_size(1000, 900)
    browser.get((tmp_path / "out" / "report.html").as_uri())
    return browser


def find(page, selector):
    return page.find_elements("css selector", selector)


def texts(page, selector):
    return [element.text for element in find(page, selector)]


def test_the_page_draws_and_nothing_goes_wrong(page):
    assert len(find(page, "#curves path.line")) == 3
    assert len(find(page, "#curves path.band")) == 3
    assert len(find(page, "#runtime g rect")) == 3 * 3
    assert len(find(page, "#queried figure")) == 3
    assert len(find(page, "#overlap tbody td")) == len(find(page, "#penalty tbody td")) == 9
    assert len(find(page, "#tests tbody tr")) == 3
    assert texts(page, "#results tbody td:first-child") == ["Margin", "Random", "Entropy"]
    assert texts(page, "#ranks tbody td:nth-child(2)") == ["1.00", "2.00", "3.00"]
    assert page.get_log("browser") == []


def test_no_request_leaves_the_page(page):
    sent = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    assert urls
    assert all(url.startswith(("file:", "data:")) for url in urls)
    assert sum(url.startswith("file:") for url in urls) == 1


def test_the_pointer_shows_the_values_of_the_nearest_label_count(page):
    from selenium.webdriver.common.action_chains import ActionChains

    (plot,) = find(page, "#curves svg")
    assert not find(page, "#tip")[0].is_displayed()
    ActionChains(page).move_to_element_with_offset(plot, 15, 0).perform()  # the middle of 2, 4 and 6 labels
    lines = [element.text.split("\n") for element in find(page, "#tip > div")]
    assert [" ".join(line) for line in lines] == [
        "4 labels",
        "Margin 0.7100 (0.7000–0.7200)",
        "Random 0.6100 (0.6000–0.6200)",
        "Entropy 0.5100 (0.5000–0.5200)",
    ]
    ActionChains(page).move_to_element(find(page, "h1")[0]).perform()
    assert not find(page, "#tip")[0].is_displayed()


def test_keys_move_through_the_label_counts(page):
    (plot,) = find(page, "#curves svg")
    plot.send_keys("\ue014")  # arrow right
    assert find(page, "#tip")[0].text.startswith("2 labels")
    plot.send_keys("\ue014\ue014")
    assert find(page, "#tip")[0].text.startswith("6 labels")


def test_the_legend_hides_and_shows(page):
    button = next(b for b in find(page, "#legend button") if b.text == "Random")
    button.click()
    assert len(find(page, "#curves path.line")) == 2
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert len(find(page, "#curves path.line")) == 3


def test_heads_sort_the_table(page):
    head = next(h for h in find(page, "#results th") if h.text.startswith("AUBC"))
    head.find_element("css selector", "button").click()
    assert texts(page, "#results tbody td:first-child") == ["Margin", "Random", "Entropy"]
    head.find_element("css selector", "button").click()
    assert texts(page, "#results tbody td:first-child") == ["Entropy", "Random", "Margin"]


def test_strange_names_are_text(page):
    key = texts(page, ".key span")
    assert key == [f"{c} {name}" for c, name in enumerate(STRANGE)]
    assert any("<b onclick=alert(3)>&quot;日本 <script>alert(4)<" in note for note in texts(page, "#notes li"))
    assert len(find(page, "script")) == 2  # the page's own
    assert not find(page, "main img, main b[onclick]")


def test_a_narrow_page_does_not_scroll_sideways(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= 400
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
