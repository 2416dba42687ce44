"""Lines of a labeling batch that name no image of it."""

from pathlib import Path

import pytest

from msal_lightning.errors import AnnotationError
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.csv_file import read_answers


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
