"""The list of images on which annotators disagree."""

import csv
from pathlib import Path

import pytest

from msal_lightning.errors import AnnotationError
from msal_lightning.oracles.base import Annotation, LabelingTask
from msal_lightning.oracles.csv_files.csv_file import KnownClasses
from msal_lightning.oracles.csv_files.decisions import decisions, update_decisions

CAT, DOG, FORMULA = Annotation("cat"), Annotation("dog"), Annotation("=1+1")
ITEMS = [LabelingTask(k, path, Path(), None, None, None, k) for k, path in enumerate(("a.png", "=b.png", "c.png"))]


def test_what_a_person_decided_stays_while_the_votes_do(tmp_path):
    file = tmp_path / "d.csv"
    votes = [{"anna": CAT, "ben": DOG}, {"=anna": DOG, "": FORMULA}, {"anna": CAT, "ben": DOG}]
    assert update_decisions(file, ITEMS, votes, [None, FORMULA, None]) == ["", "=1+1", ""]
    assert file.read_text().splitlines() == [
        "path,votes,label", "a.png,anna: cat; ben: dog,", "./=b.png,'=anna: dog; unnamed: =1+1,'=1+1",
        "c.png,anna: cat; ben: dog,",
    ]  # fmt: skip
    with file.open(newline="") as text:
        lines = [*csv.reader(text)]
    lines[1][2], lines[3][2] = "dog", "cat"
    with file.open("w", newline="") as out:  # as a spreadsheet saves it in some countries
        csv.writer(out, delimiter=";").writerows(lines)
    assert update_decisions(file, ITEMS, votes, [None, FORMULA, None]) == ["dog", "=1+1", "cat"]
    before = file.stat().st_ino
    assert update_decisions(file, ITEMS, votes, [None, FORMULA, None]) == ["dog", "=1+1", "cat"]
    assert file.stat().st_ino == before
    votes[0]["ben"] = FORMULA  # ben changed his mind
    assert update_decisions(file, ITEMS, votes, [None, FORMULA, None]) == ["", "=1+1", "cat"]


def test_decisions_are_read_as_labels_are():
    found, wrong = decisions(ITEMS, ["dog", "", "skip"], KnownClasses(("cat", "dog"), False))
    assert (found, wrong) == ([DOG, None, Annotation(None, "skip")], [])
    assert decisions(ITEMS[:1], ["dgo"], KnownClasses(("cat", "dog"), False))[1] == [
        "'a.png': the class 'dgo' is not known: did you mean dog?"
    ]


def test_a_damaged_list_is_not_overwritten(tmp_path):
    file = tmp_path / "d.csv"
    file.write_text('path,votes,label\n"a.png,x,cat\n')
    with pytest.raises(AnnotationError, match="correct the quotes"):
        update_decisions(file, ITEMS, [{"anna": CAT, "ben": DOG}] * 3, [None] * 3)
    assert file.read_text().endswith("cat\n")
