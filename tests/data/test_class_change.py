"""Other classes for the labels of a split, the hidden labels and the test set."""

import pytest
import torch

from msal_lightning.data.class_change import ClassChange
from msal_lightning.data.class_numbers import one_after_the_other
from msal_lightning.data.label_guard import LabelAccessError, forbid_label_access
from msal_lightning.data.labels import HiddenLabels
from msal_lightning.data.split import Split


def change(names, numbers, train=None, test=None):
    columns = [
        numbers,
        *(list(column) for part in (train or {}, test or {}) for column in (part.keys(), part.values())),
    ]
    return ClassChange(tuple(names), *(torch.tensor(column, dtype=torch.int64) for column in columns))


MERGE = change("ac", [0, 0, 1])
TRUTH = torch.tensor([0, 1, 2, -1, 1, 2, 0, 1])


@pytest.fixture
def split():
    made = Split(HiddenLabels(TRUTH))
    made.label(torch.tensor([1, 2]), 0)
    made.restore(torch.tensor([3]), torch.tensor([2]), 1)  # a person knew it
    made.set_pseudo_labels(torch.tensor([4, 5]), torch.tensor([1, 2]))
    return made


def test_merged_classes_in_all_labels(split):
    places = split.labeled_at.clone()
    split.change_classes(MERGE)
    assert split.labels.tolist() == [-1, 0, 1, 1, -1, -1, -1, -1]
    assert split.hidden_labels.all().tolist() == [0, 0, 1, -1, 0, 1, 0, 0]
    assert [column.tolist() for column in split.pseudo_labels] == [[4, 5], [0, 1]]
    assert torch.equal(split.labeled_at, places)
    split.check_bill()


def test_a_split_class_has_a_label_for_each_image(split):
    with pytest.raises(ValueError, match="1 labeled images of a split class"):
        split.change_classes(change("axcy", [0, -1, 2], {4: 1, 7: 3}))
    assert split.labels.tolist() == [-1, 1, 2, 2, -1, -1, -1, -1]
    split.change_classes(change("axcy", [0, -1, 2], {1: 3, 4: 1, 7: 3}))
    assert split.labels.tolist() == [-1, 3, 2, 2, -1, -1, -1, -1]
    assert split.hidden_labels.all().tolist() == [0, 3, 2, -1, 1, 2, 0, 3]
    assert [column.tolist() for column in split.pseudo_labels] == [[5], [2]]  # without the split class


def test_a_corrected_image_needs_no_label_of_its_former_class(split):
    split.relabel(torch.tensor([1]), torch.tensor([2]))
    split.change_classes(change("axcy", [0, -1, 2], {4: 1, 7: 3}))
    assert split.labels[1] == 2
    assert split.hidden_labels.count_classes(torch.tensor([0, 4]), 4) == [1, 1, 0, 0]
    assert split.hidden_labels.count_classes(torch.tensor([0, 1]), 4) is None  # which part it was is not known
    split.reset()
    assert split.hidden_labels.count_classes(torch.tensor([0, 1]), 3) == [1, 1, 0]


def test_reset_restores_the_classes_of_the_files(split):
    marks = split.hidden_labels.marks()
    split.change_classes(MERGE)
    assert split.hidden_labels.marks() == marks  # of the files, which did not change
    split.reset()
    assert split.hidden_labels.all().tolist() == TRUTH.tolist()
    assert split.label(torch.tensor([1]), 0).tolist() == [1]


def test_the_data_of_a_run_changes_and_is_restored(fresh_digits):
    data, truth, tested = fresh_digits, fresh_digits.hidden_labels.all(), fresh_digits.test.label
    data.draw_initial(40)
    digests = [data.digest()]
    numbers = [0, 1, 2, 3, 4, 5, 6, 7, 3, 8]
    for names in ("012345679", "0123456789"):
        data.change_classes(change(names, numbers if len(names) == 9 else [*range(9)]))
        digests.append(data.digest())
        if len(names) == 9:
            assert data.test.label.tolist() == [numbers[c] for c in tested.tolist()]
            assert data.labels[data.labeled].tolist() == [numbers[c] for c in truth[data.labeled].tolist()]
    assert digests[0] != digests[1]  # a saved fit belongs to other classes
    assert digests[1] == digests[2]  # other names, the same fit
    data.reset(0)
    assert (data.num_classes, torch.equal(data.test.label, tested)) == (10, True)
    data.draw_initial(40)
    assert data.digest() == digests[0]


def test_classes_without_labels_change_the_head_too(fresh_digits):
    before = fresh_digits.digest()
    fresh_digits.change_classes(change("012345678", [*range(9), 8]))
    assert fresh_digits.digest() != before


def test_hidden_labels_stay_hidden(split):
    with forbid_label_access(), pytest.raises(LabelAccessError):
        split.hidden_labels.marks()


def test_changes_one_after_the_other():
    assert one_after_the_other([0, 0, -1, 1], [1, 0]) == [1, 1, -1, 0]
