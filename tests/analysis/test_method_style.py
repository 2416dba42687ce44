"""A method looks the same wherever it is drawn."""

import csv
import re
from importlib.resources import files

from msal_lightning.analysis.method_style import _KNOWN, COLOURS, DASHES, MethodStyle, method_style
from msal_lightning.paper.methods import method_name


def test_no_two_known_methods_look_the_same():
    styles = [method_style(name) for name in _KNOWN]
    assert len(set(styles)) == len(_KNOWN) <= 35
    assert all(style.dash < 5 for style in styles)


def test_every_row_of_the_paper_and_every_strategy_is_known():
    with (files("msal_lightning.paper") / "paper.csv").open(encoding="utf-8") as file:
        rows = {row["method"] for row in csv.DictReader(file)}
    assert rows <= set(_KNOWN)
    for strategy in (
        "Random",
        "BADGE",
        "TypiClust",
        "ProbCover",
        "PowerAcquisition",
        "SoftmaxAcquisition",
        "BatchBALD",
    ):
        config = {"query.class_path": f"msal_lightning.strategies.{strategy}", "model.head": "linear"}
        assert method_name(config) in _KNOWN


def test_a_variant_keeps_the_colour_and_has_other_dashes():
    plain, ten, twenty = (method_style(name) for name in ("MSAL-D", "MSAL-D, beta=10", "MSAL-D, beta=20"))
    assert plain.colour == ten.colour == twenty.colour
    assert len({plain.dash, ten.dash, twenty.dash}) == 3
    assert method_style("MSAL-D, query.beta=10") == ten  # as figures write it
    assert method_style("MSAL-D, a=1, b=2") == method_style("MSAL-D, b=2, a=1")


def test_other_methods_have_a_style_of_their_own_too():
    style = method_style("Mine")
    assert style == method_style("Mine") == MethodStyle(style.colour, style.dash)
    assert style.dash >= 5
    assert len({method_style(f"Mine{k}") for k in range(40)}) > 20


def test_the_page_has_the_same_colours():
    css = (files("msal_lightning.analysis.report.formats") / "html.css").read_text()
    light = css.partition("@media")[0]
    assert tuple(re.findall(r"--c\d: (#[0-9a-f]{6})", light)) == COLOURS
    assert len(set(DASHES)) == len(DASHES)
