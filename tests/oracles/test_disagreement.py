"""What people said about the same image."""

from msal_lightning.oracles.base import Annotation
from msal_lightning.oracles.disagreement import say_disagreements, words


def test_all_that_was_said_stays_in_the_file(tmp_path):
    file = tmp_path / "replaced.csv"
    said = say_disagreements(file, {"a.png": ["cat", "dog"]})
    assert said.splitlines() == ["  'a.png': cat, then dog", f"  all are in {file}"]
    say_disagreements(file, {"a.png": ["dog", "owl"], "b, c.png": ["skip", "cat"]})
    assert file.read_text() == 'a.png,cat,dog,owl\n"b, c.png",skip,cat\n'


def test_what_a_spreadsheet_would_compute_is_text(tmp_path):
    say_disagreements(tmp_path / "x.csv", {"=1+1.png": ["@cat", "dog"]})
    assert "=1+1" not in (tmp_path / "x.csv").read_text().replace("./=1+1", "")


def test_words():
    assert [words(Annotation("cat")), words(Annotation(None, "unsure")), words(None)] == [
        "cat",
        "unsure",
        "no majority",
    ]
