"""The critical-difference diagram: where names and bars stand."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from msal_lightning.analysis.figures.ranks import rank_diagram

PAGE = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text(encoding="utf-8")


@pytest.fixture
def parts():
    """The names, the lines from ranks to names, and the ends of the bars by colour."""
    made = []

    def read(names, scores):
        figure = rank_diagram(names, scores, "blocks")
        made.append(figure)
        (axes,) = figure.axes
        lines = [line for line in axes.get_lines() if line.get_linewidth() < 1]
        bars = {}
        for line in axes.get_lines():
            if line not in lines:
                bars.setdefault(line.get_color(), []).append(tuple(line.get_xdata()))
        return [text.get_text() for text in axes.texts], [line.get_xdata()[0] for line in lines], bars

    yield read
    for figure in made:
        plt.close(figure)


def test_names_and_bars_stand_at_mean_ranks(parts):
    # a is always first; b and c, and d and e, change places every other time
    scores = np.array([[5, 4, 3, 2, 1], [5, 3, 4, 1, 2]] * 10) / 10
    texts, ranks, bars = parts(list("edcba"), scores[:, ::-1])
    assert texts == ["a  1.00", "c  2.50", "b  2.50", "4.50  e", "4.50  d"]
    assert ranks == [1.0, 2.5, 2.5, 4.5, 4.5]
    # critical difference 2.728 · √(5·6 / (6·20)) = 1.364
    (nemenyi, wilcoxon) = bars.values()
    assert np.array(nemenyi) == pytest.approx(np.array([[2.46, 2.54], [4.46, 4.54]]))
    assert np.array(wilcoxon) == pytest.approx(np.array([[2.46, 2.54], [4.46, 4.54]]))


def test_few_blocks_have_no_test_by_wilcoxon(parts):
    texts, _, bars = parts(["a", "b"], np.array([[2.0, 1.0]] * 5))
    assert texts == ["a  1.00", "2.00  b"]
    assert not bars  # 1.96 · √(2·3 / (6·5)) = 0.877
    assert len(parts(["a", "b"], np.array([[2.0, 1.0]] * 3))[2]) == 1  # 1.13


def test_the_page_s_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(example, {})
    assert capsys.readouterr().out.splitlines()[1].startswith("Margin 1.0 Estimate(value=0.02")
    assert (tmp_path / "ranks.png").stat().st_size > 10_000
    plt.close("all")
