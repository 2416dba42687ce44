"""Amendments on disk, and what they make of a run's rounds."""

import json
from types import SimpleNamespace

import pytest
import torch

from msal_lightning.data.labels import HiddenLabels
from msal_lightning.data.split import Split
from msal_lightning.errors import RunError
from msal_lightning.runs.amendments import (
    Add,
    Amendments,
    Correct,
    Extend,
    Finish,
    Reclass,
    Remove,
    read_amendments,
    write_amendment,
)
from msal_lightning.runs.records import LabeledImages

CHANGES = [
    Extend(120, 170, 40, "0123456789abcdef"),
    Correct([3, 7], [0, 1], [2, 0], ["a/1.png", "a/2.png"]),
    Finish(170, 160, 3),
]


def kept(folder, changes=CHANGES, before_query=False):
    for change in changes:
        known = read_amendments(folder)
        write_amendment(folder, known.next(change, 2, before_query, "because"))
    return read_amendments(folder)


def test_a_run_has_the_amendments_that_were_written(tmp_path):
    assert read_amendments(tmp_path) == Amendments()
    found = kept(tmp_path)
    assert [one.change for one in found.items] == CHANGES
    assert [one.number for one in found.items] == [1, 2, 3]
    assert {(one.before_round, one.reason) for one in found.items} == {(2, "because")}
    assert found.corrected == {3, 7}
    assert found.present_labels(LabeledImages([7, 3, 5], [1, 1, 1]), 1) == [0, 2, 1]
    assert found.present_labels(LabeledImages([7, 3, 5], [1, 1, 1]), 2) == [1, 1, 1]  # labels of a later round


def test_rounds_after_each_change(tmp_path):
    found, planned = kept(tmp_path).items, [40, 80, 120]
    counts = [Amendments(found[:k]).label_counts(planned) for k in range(4)]
    assert counts == [planned, [40, 80, 120, 160, 170], [40, 80, 120, 160, 170], [40, 80, 120, 160]]
    assert [Amendments(found[:k]).finishes for k in range(4)] == [False, False, False, True]


def test_a_last_round_with_the_same_labels_follows_corrections_of_a_finished_run():
    assert Finish(80, 80, 2).label_counts([40, 80]) == [40, 80, 80]


def test_labels_change_before_the_fit_that_may_know_it(tmp_path):
    split = Split(HiddenLabels(torch.zeros(9, dtype=torch.int64)))
    split.label(torch.tensor([3, 7, 8]), 0)
    split.hold_out(torch.tensor([7]))
    found = kept(tmp_path)
    before = split.labels.clone()
    found.before_fit(SimpleNamespace(split=split), 1)
    found.before_query(SimpleNamespace(split=split), 1)
    found.before_query(SimpleNamespace(split=split), 2)
    assert torch.equal(split.labels, before)
    found.before_fit(SimpleNamespace(split=split), 2)
    assert split.labels[[3, 7, 8]].tolist() == [2, 0, 0]
    assert split.labeled_at[[3, 7, 8]].tolist() == [0, -4, 0]
    split.check_bill()


def test_after_the_last_round_a_change_belongs_to_the_query_that_it_may_make(tmp_path):
    split = Split(HiddenLabels(torch.zeros(9, dtype=torch.int64)))
    split.label(torch.tensor([3, 7]), 0)
    found = kept(tmp_path, before_query=True)
    found.before_fit(SimpleNamespace(split=split), 1)
    found.before_fit(SimpleNamespace(split=split), 2)
    assert split.labels[[3, 7]].tolist() == [0, 0]
    found.before_query(SimpleNamespace(split=split), 1)
    assert split.labels[[3, 7]].tolist() == [2, 0]


def test_images_come_and_go(tmp_path):
    split = Split(HiddenLabels(torch.zeros(9, dtype=torch.int64)))
    split.leave_out(torch.tensor([6, 7, 8]))
    split.label(torch.tensor([1, 2, 3]), 0)
    split.hold_out(torch.tensor([3]))
    images = [["train", f"{name}.png", "", 9, 8, "ab", ""] for name in "abc"]
    changes = [Add(6, 9, images), Remove(9, 5, [0, 2, 3, 7], ["0.png", "2.png", "3.png", "b.png"], 2)]
    found = kept(tmp_path, changes)
    assert found.change_images
    assert found.num_removed_labels == 2
    found.before_fit(SimpleNamespace(split=split), 2)
    assert split.labeled_at.tolist() == [-5, 0, -5, -5, -1, -1, -1, -5, -1]
    assert split.num_removed_labels == 2
    split.check_bill()
    last = SimpleNamespace(round=1, queried=LabeledImages())
    assert found.pool_growth(last) == 1
    assert found.pool_growth(SimpleNamespace(round=2, queried=LabeledImages())) == 0  # its record knows them
    exact = [Add(6, 9, images, tested=1), Remove(9, 5, [0, 2, 3, 7], ["0.png", "2.png", "3.png", "b.png"], 2, pooled=1)]
    (tmp_path / "exact").mkdir()
    assert kept(tmp_path / "exact", exact).pool_growth(last) == 2 - 1
    assert found.items[1].change.describe([]).startswith("4 images removed, 2 of them labeled: '0.png', '2.png'")


MERGE = Reclass(["a", "b", "c"], ["ab", "c"], [0, 0, 1], extra_round=2)
RENAME = Reclass(["ab", "c"], ["ab", "see"], [0, 1])
SPLIT = Reclass(["ab", "see"], ["x", "see", "y"], [-1, 1], [3, 7], [0, 2], [5], [2])


def test_labels_and_names_after_changes_of_classes(tmp_path):
    found = kept(tmp_path, [Correct([3], [0], [1]), MERGE, RENAME, Correct([7], [1], [0]), SPLIT])
    assert [one.change for one in found.items if isinstance(one.change, Reclass)] == found.reclassed()
    assert found.present_labels(LabeledImages([3, 7, 9], [0, 2, 2]), 1) == [0, 2, 1]
    assert found.present_labels(LabeledImages([3, 7, 9], [0, 2, 2]), 2) == [0, 2, 2]  # labels of a later round
    assert found.present_names(["a", "b", "c"], 2) == ["x", "see", "y"]
    assert found.present_names(["x", "see", "y", "new"], 3) == ["x", "see", "y", "new"]
    assert [found.names_before(k, found.present_names(["a", "b", "c"], 2)) for k in (1, 3, 4)] == [
        ["a", "b", "c"], ["ab", "c"], ["ab", "see"]
    ]  # fmt: skip
    assert found.class_numbers(2) == [-1, -1, 1]
    assert found.class_numbers(1) is None
    assert found.present_votes({7: (("Ann", "a"), ("Bob", "c")), 8: (("Ann", "b"), ("Bob", "unsure"))}) == {
        7: (("Ann", "y"), ("Bob", "see")),
        8: (("Bob", "unsure"),),  # nobody has said which part it is
    }
    assert [change.split(" before ")[1] for change in found.regrouped()] == ["round 2"] * 2
    with pytest.raises(RunError, match="amendment 005 does not fit the record of round 1"):
        found.present_labels(LabeledImages([4], [0]), 1)


def test_a_round_of_the_new_classes_comes_before_the_next_query():
    assert MERGE.label_counts([40, 60]) == [40, 60, 60]
    assert MERGE.label_counts([40, 60, 80]) == [40, 60, 60, 80]  # it was extended before
    assert RENAME.label_counts([40, 60]) == [40, 60]
    last = SimpleNamespace(round=1)
    assert [change.reopens(last, True) for change in (MERGE, RENAME, Finish(80, 60, 1))] == [False, True, False]


def test_new_names_may_be_known_already_and_have_successors():
    assert RENAME.names_after(["ab", "c", "new"]) == ["ab", "see", "new"]
    assert RENAME.names_after(["ab", "see", "new"]) == ["ab", "see", "new"]
    assert RENAME.present({1: 2}) == {1: 2}


def test_an_image_without_a_label_cannot_be_corrected():
    split = Split(HiddenLabels(torch.zeros(9, dtype=torch.int64)))
    with pytest.raises(ValueError, match="without a label"):
        split.relabel(torch.tensor([3]), torch.tensor([1]))


def test_columns_must_fit_each_other_and_the_data(tmp_path):
    for broken in (
        lambda: Correct([3], [0, 1], [2]),
        lambda: Correct([-3], [0], [2]),
        lambda: Remove(9, 8, [1], [], 0),
        lambda: Add(6, 7, [["train", "a.png"]]),
        lambda: Reclass(["a", "b"], ["c"], [0]),
        lambda: Reclass(["a", "b"], ["c", "c"], [0, 1]),
        lambda: Reclass(["a", "b"], ["c"], [0, 0], [1], []),
        lambda: Add(6, 8, [["train", "a.png", "", 9, 8, "ab", ""]]),
    ):
        with pytest.raises(ValueError, match=r"columns|number of images"):
            broken()
    split = Split(HiddenLabels(torch.zeros(9, dtype=torch.int64)))
    with pytest.raises(RunError, match="amendment 001 does not fit the data"):
        kept(tmp_path, [Correct([40], [0], [1])]).before_fit(SimpleNamespace(split=split), 2)


def change(key, value):
    def edit(folder):
        file = folder / "amendments/002.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))

    return edit


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "amendments/002.json").unlink(), r"expected '.*002.json', found 003.json next"),
        (lambda folder: (folder / "amendments/002.json").write_text("{"), "002.json' is damaged: restore a copy"),
        (change("reason", "another"), "was changed after it was written"),
        (change("format", 7), r"in format 1 .* got format 7 and correct: use the version"),
        (change("kind", "magic"), "got format 1 and magic"),
        (
            lambda folder: (folder / "amendments/003.json").write_text((folder / "amendments/002.json").read_text()),
            "003.json' holds amendment 2",
        ),
    ],
)
def test_a_damaged_amendment_is_named(tmp_path, spoil, message):
    kept(tmp_path)
    spoil(tmp_path)
    with pytest.raises(RunError, match=message):
        read_amendments(tmp_path)
