"""Counts that the labels in the files give without telling which."""

import pytest
import torch

from msal_lightning.data.labels import HiddenLabels


@pytest.mark.parametrize(
    ("index", "predicted", "errors", "counts"),
    [([0, 1], 2, 1, [1, 0, 1]), ([3, 1], 1, 2, [1, 0, 1]), ([0, 2], 2, None, None), ([], 2, 0, [0, 0, 0])],
)
def test_only_an_unknown_label_among_the_counted_ones_matters(index, predicted, errors, counts):
    labels = HiddenLabels(torch.tensor([2, 0, -1, 2]))
    rows = torch.tensor(index, dtype=torch.int64)
    assert labels.count_errors(rows, torch.full((len(index),), predicted)) == errors
    assert labels.count_classes(rows, 3) == counts
    assert labels.num_revealed == 0
