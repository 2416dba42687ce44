"""What a run of an older version, which stored no fingerprint, compares; the fingerprint is in tests/data."""

import pytest

from msal_lightning.datasets import Digits
from msal_lightning.runs.changed_images import changed_images
from msal_lightning.runs.records import LabeledImages, RoundRecord


@pytest.fixture
def data():
    data = Digits()
    data.setup()
    return data


@pytest.mark.parametrize(
    ("num_test", "held_out", "parts", "expected"),
    [
        (500, None, ("train", "test"), None),
        (None, None, ("train", "test"), None),  # still older
        (60, None, ("train", "test"), "there were 60 test images and are 500 now"),
        (60, None, ("train",), None),
        (60, LabeledImages([1], [1]), ("train", "test"), None),  # it was tested on labels of its own
    ],
)
def test_a_record_without_a_digest_compares_the_number_of_test_images(
    data, tmp_path, num_test, held_out, parts, expected
):
    nothing = LabeledImages()
    first = RoundRecord(0, 0, 0, {}, {}, None, [], nothing, nothing, {}, num_test=num_test, held_out=held_out)
    assert changed_images(data, tmp_path, first, parts) == expected
