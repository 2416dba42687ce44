"""The oracle of benchmarks, asked by a caller of one's own."""

from pathlib import Path

import pytest

from msal_lightning.data.label_guard import LabelAccessError, forbid_label_access
from msal_lightning.datasets import Digits
from msal_lightning.oracles import Simulated
from msal_lightning.oracles.base import LabelingBatch, LabelingTask


def test_it_reveals_and_counts_the_labels_of_a_batch():
    data = Digits()
    data.setup()
    oracle = Simulated()
    oracle.connect(data)
    indices = [700, 3, 41]
    items = tuple(LabelingTask(i, "", Path(), None, None, None, rank) for rank, i in enumerate(indices))
    names = tuple(f"digit {c}" for c in range(10))
    batch = LabelingBatch("round-000", items, names, Path())
    truth = Digits().load()[0].label[indices].tolist()
    with forbid_label_access(), pytest.raises(LabelAccessError):
        oracle.ask(batch)
    assert data.hidden_labels.num_revealed == 0
    assert [annotation.label for annotation in oracle.ask(batch)] == [names[c] for c in truth]
    assert data.hidden_labels.num_revealed == 3
