"""What the siblings of a label source share."""

import pytest
import torch

from msal_lightning.errors import AnnotationError
from msal_lightning.loop.initial_order import InitialOrder
from msal_lightning.loop.label_sources import DataLabels


def drawn(data):
    return lambda: InitialOrder(data.initial_order(), torch.empty(0, dtype=torch.int64))


def test_the_first_labels_are_held_out_and_one_must_be_left_to_train_on(fresh_digits):
    source = DataLabels(fresh_digits, [12, 20], held_out=10, title="", order=drawn(fresh_digits))
    index = fresh_digits.draw_initial(12)
    for few in (index[:9], index[:10]):
        with pytest.raises(AnnotationError, match=rf"than loop.held_out \(10\), got {len(few)}, and no image is left"):
            source.split_initial(few)
        assert not len(fresh_digits.held_out)
    initial = source.split_initial(index)
    assert initial.held_out.index == index[:10].tolist()
    assert initial.train.index == index[10:].tolist()
    assert fresh_digits.labeled.tolist() == sorted(initial.train.index)
    assert initial.train.label == fresh_digits.labels[index[10:]].tolist()


def test_held_out_labels_count_as_labels(fresh_digits):
    source = DataLabels(fresh_digits, [40, 60, 75], held_out=10, title="", order=drawn(fresh_digits))
    source.split_initial(fresh_digits.draw_initial(40))
    assert source.to_label(0) == 20
    fresh_digits.label(fresh_digits.pool[:20], 1)
    assert source.to_label(1) == 15
    fresh_digits.label(fresh_digits.pool[:15], 2)
    assert source.to_label(2) == 0
