"""Labels as CSV."""

import csv

import pytest

from msal_lightning.data.label_files import csv_table
from msal_lightning.data.label_files.label_set import LabelRow, LabelSet
from msal_lightning.data.label_files.reading import read_label_file
from msal_lightning.errors import DataError


def test_all_fields_and_skipped_images_are_there(label_set, tmp_path, known, truth):
    file = tmp_path / "labels.csv"
    csv_table.write(label_set, file)
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    first, *_, skipped = rows
    assert first == {
        "path": "a/1.png", "label": 'dog, "big"', "split": "test", "round": "0", "rank": "0", "annotator": "",
        "score": "", "index": "10",
    }  # fmt: skip
    assert (skipped["path"], skipped["label"], skipped["round"]) == ("a/6.png", "unsure", "")
    assert [row["score"] for row in rows[2:5]] == ["0.25", "0.125", "0.0"]
    assert rows[3]["path"] == "./=4.png"  # no formula
    assert known(read_label_file(file, "it", label_set.root)) == sorted([*truth, ("a/6.png", "unsure", "train")])


def test_rows_without_files_have_an_index(tmp_path):
    file = tmp_path / "labels.csv"
    csv_table.write(LabelSet(("0", "1"), (LabelRow(5, None, "1", "train", 0, 0),), tmp_path), file)
    assert file.read_text() == "label,split,round,rank,annotator,score,index\n1,train,0,0,,,5\n"
    (line,) = csv_table.read(file, "it")
    assert (line.fields["index"], line.fields["label"]) == ("5", "1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label,class_name\na.png,1,dog\n", "expected names of classes in it, such as 'dog', got the number '1'"),
        ("file,class\na.png,dog\n", "expected the columns path and label in it, got file, class"),
        ("index,class\n1,dog\n", "expected the columns path and label in it, got index, class"),
        ('path,label\n"a.png,dog\n', "cannot read it"),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, said):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        csv_table.read(tmp_path / "x.csv", "it")


def test_a_ledger_whose_classes_are_numbers_is_fine(tmp_path):
    (tmp_path / "x.csv").write_text("path,label,class_name\na.png,1,1\n")
    assert csv_table.read(tmp_path / "x.csv", "it")[0].fields["label"] == "1"
