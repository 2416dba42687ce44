"""A picture may be drawn again over itself; nothing else is overwritten."""

import pytest
from matplotlib.figure import Figure

from msal_lightning.analysis.figures.style import save
from msal_lightning.errors import UserError


def figure():
    one = Figure()
    one.add_subplot().plot([0, 1])
    return one


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_picture_is_drawn_again_over_itself(tmp_path, ending):
    out = tmp_path / f"curves.{ending}"
    save(figure(), str(out))
    first = out.read_bytes()
    save(figure(), str(out))
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.png", b"notes"), ("a.svg", b"<html></html>"), ("a.pdf", b"%PDF-1.7 /Creator (LaTeX with hyperref)")],
)
def test_a_file_that_is_no_picture_is_not_overwritten(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="no picture of this program: choose another --out"):
        save(figure(), str(tmp_path / name))
    assert (tmp_path / name).read_bytes() == content


def test_nor_is_it_through_a_link(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    (tmp_path / "a.png").symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(UserError, match="no picture"):
        save(figure(), str(tmp_path / "a.png"))
    assert (tmp_path / "thesis.tex").read_text() == "mine"
