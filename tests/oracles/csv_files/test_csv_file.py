"""Lines of a labeling batch that name no image of it."""

from pathlib import Path

import pytest

from msal_lightning.errors import AnnotationError
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.csv_file import KnownClasses, read_answers


@pytest.mark.parametrize(
    ("rank", "remedy"),
    [
        ("1", "line 3: the path 'c.png' was 'b.png' in the labeling request: change it back"),
        ("0", "line 3: 'c.png' is not in the labeling request round-003: remove the line"),  # its image has a line
        ("2", "line 3: 'c.png' is not in the labeling request round-003: remove the line"),  # beyond the last rank
        ("", "line 3: 'c.png' is not in the labeling request round-003: remove the line"),
        ("-1", "line 3: 'c.png' is not in the labeling request round-003: remove the line"),
    ],
)
def test_a_path_of_no_image_is_explained_by_its_rank(tmp_path, rank, remedy):
    items = tuple(LabelingTask(n, f"{name}.png", Path(), None, None, None, n) for n, name in enumerate("ab"))
    file = tmp_path / "round-003.csv"
    file.write_text(f"path,rank,label\na.png,0,cat\nc.png,{rank},cat\n")
    with pytest.raises(AnnotationError) as error:
        read_answers(LabelingBatch("round-003", items, ("cat", "dog"), tmp_path), file)
    assert str(error.value).splitlines()[1:] == [f"  {remedy}"]


def answer(names, text, allow_new=False):
    return KnownClasses(names, allow_new).answer(text).label


@pytest.mark.parametrize("allow_new", [False, True])
def test_numbers_of_classes_are_refused(allow_new):
    with pytest.raises(ValueError, match=r"'1' is the number of a class: write its name \(class 1 is 'dog'\)"):
        answer(("cat", "dog"), "1", allow_new)
    with pytest.raises(ValueError, match=r"write its name \('cat' for example\)"):
        answer(("cat", "dog"), "7", allow_new)
    assert answer(("0", "1", "many"), "1") == "1"
    assert answer((), "1", allow_new=True) == "1"  # the first class
