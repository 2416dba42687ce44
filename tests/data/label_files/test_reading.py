"""Files of unknown format."""

import pytest

from msal_lightning.data.label_files.reading import read_label_file
from msal_lightning.errors import DataError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot read it"),
        ('{"a": 1}', "expected it to be a CSV file, JSON of COCO"),
        ('[{"image": "a.png", "choice": "cat"}]', "expected it to be a CSV file, JSON of COCO"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', r"cannot read it \(no key 'file_name'\)"),
        ('{"classes": ["a"], "labels": {"x": 3}}', "cannot read it"),
        ('[{"data": 3}]', "cannot read it"),
    ],
)
def test_other_json_is_refused(tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=said):
        read_label_file(tmp_path / "x.json", "it", tmp_path)


def test_no_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot read it"):
        read_label_file(tmp_path / "x.json", "it", tmp_path)
    with pytest.raises(DataError, match="cannot read it"):
        read_label_file(tmp_path, "it", tmp_path)
