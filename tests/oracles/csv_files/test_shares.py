"""A batch split among annotators."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msal_lightning.errors import AnnotationError
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.csv_file import write_csv
from msal_lightning.oracles.csv_files.shares import check_annotators, check_same_split, find_shares, split

NAMES = ("anna", "ben", "cleo", "dora")


def batch_of(count, folder=Path()):
    items = tuple(LabelingTask(7 * k, f"{k}.png", Path(), None, None, None, k) for k in range(count))
    return LabelingBatch("round-003", items, ("cat", "dog"), folder)


@given(st.integers(1, 60), st.integers(1, 4), st.floats(0, 1))
def test_every_image_has_one_annotator_or_all(count, people, overlap):
    names = NAMES[:people]
    shares = split(batch_of(count), names, overlap)
    of = {k: [share.annotator for share in shares if k in {i.rank for i in share.batch.items}] for k in range(count)}
    for_all = [k for k, who in of.items() if who == [*names]] if people > 1 else []
    assert all(len(who) == 1 for k, who in of.items() if k not in for_all)
    if people > 1:
        assert len(for_all) == (min(count, max(1, round(overlap * count))) if overlap else 0)
        gaps = [b - a for a, b in itertools.pairwise(for_all)]
        assert max(gaps, default=0) - min(gaps, default=0) <= 1  # spread evenly over the ranks
    sizes = [sum(who == [name] for who in of.values()) for name in names]
    assert people == 1 or max(sizes) - min(sizes) <= 1
    assert [share.file.name for share in shares] == [f"round-003.{share.annotator}.csv" for share in shares]


def test_without_names_the_batch_stays_whole():
    (share,) = split(batch_of(3), (), 0.0)
    assert (share.annotator, share.batch) == ("", batch_of(3))


@pytest.mark.parametrize(
    ("names", "overlap", "said"),
    [
        (["anna", "../ben"], 0, r"letters, digits, _ and - in oracle.annotators, got '\.\./ben'"),
        (["a.b"], 0, "letters, digits"),
        (["Anna", "anna"], 0, "expected different names in oracle.annotators, got Anna, anna"),
        (["anna", "ben"], 1.5, r"oracle.overlap to be from 0 to 1, got 1\.5"),
        (["anna"], 0.1, "at least two names in oracle.annotators with oracle.overlap, got 1"),
    ],
)
def test_options_out_of_range_are_refused(names, overlap, said):
    with pytest.raises(AnnotationError, match=said):
        check_annotators(names, overlap)
    check_annotators(["Ännchen", "ben-2", "東"], 0.5)


def test_files_on_disk_tell_the_shares(tmp_path):
    batch = batch_of(10, tmp_path)
    assert find_shares(batch) == []
    shares = split(batch, NAMES[:2], 0.2)
    for share in shares:
        write_csv(share.batch, share.file, annotator=share.annotator)
    assert find_shares(batch) == shares
    check_same_split(batch, shares)
    with pytest.raises(AnnotationError, match=r"already requested in '.*round-003\.anna\.csv': set oracle.annotators"):
        check_same_split(batch, split(batch, (), 0))
    with pytest.raises(AnnotationError, match=r"already requested in '.*round-003\.ben\.csv'"):
        check_same_split(batch, split(batch, ("anna", "cleo"), 0.2))
