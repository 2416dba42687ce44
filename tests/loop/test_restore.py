"""Records that do not fit the options of a run."""

import pytest

from msal_lightning.errors import RunError
from msal_lightning.loop.restore import check_rounds
from msal_lightning.runs.records import LabeledImages, RoundRecord


def record(round, num_labeled, skipped=0):
    left_out = LabeledImages(list(range(skipped))) if skipped else None
    return RoundRecord(round, num_labeled, 9, {}, {}, None, [], LabeledImages(), LabeledImages(), {}, skipped=left_out)


def test_recorded_rounds_are_those_of_the_options(tmp_path):
    check_rounds([], [40, 80], 0, tmp_path)
    check_rounds([record(0, 40)], [40, 80], 0, tmp_path)
    check_rounds([record(0, 40), record(1, 80)], [40, 80], 0, tmp_path)


@pytest.mark.parametrize(
    "records",
    [
        [record(0, 41)],  # another size
        [record(0, 39)],  # fewer, and nothing was skipped
        [record(0, 40), record(1, 80), record(2, 80)],  # more rounds than the options give
        [record(0, 40), record(1, 77, skipped=2)],  # fewer than the skipped images explain
    ],
)
def test_other_rounds_are_refused(tmp_path, records):
    with pytest.raises(RunError, match="have other sizes than the options loop"):
        check_rounds(records, [40, 80], 0, tmp_path)


def test_skipped_images_of_an_exhausted_pool_may_be_missing(tmp_path):
    check_rounds([record(0, 40), record(1, 78, skipped=2)], [40, 80], 0, tmp_path)
    check_rounds([record(0, 40), record(1, 75)], [40, 80], 5, tmp_path)  # a person removed five labels
