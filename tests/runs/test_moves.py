"""A record's moves, repeated in a data module."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from msal_lightning.data.places import Place
from msal_lightning.datasets import Digits
from msal_lightning.runs.amendments import Amendment, Amendments, Correct
from msal_lightning.runs.moves import know_classes, move_as_recorded, repeat_all
from msal_lightning.runs.reading import Run
from msal_lightning.runs.records import LabeledImages, RoundRecord, Skipped

TRUTH = Digits().load()[0].label


def record(round, *, queried=(), initial=(), **more):
    labeled = [LabeledImages([*part], TRUTH[[*part]].tolist()) for part in (queried, initial)]
    return RoundRecord(round, 0, 0, {"accuracy": 0.5}, {}, None, [], *labeled, {}, **more)


def test_each_image_gets_its_place(fresh_digits):
    held_out = LabeledImages([5, 6], TRUTH[[5, 6]].tolist())
    move_as_recorded(
        fresh_digits, record(0, initial=[1, 2], queried=[9], held_out=held_out, skipped=Skipped([3], ["skip"], [""]))
    )
    move_as_recorded(fresh_digits, record(1, queried=[0, 4]))
    places = {1: 0, 2: 0, 9: 1, 5: Place.HELD_OUT, 6: Place.HELD_OUT, 3: Place.SKIPPED, 0: 2, 4: 2, 7: Place.POOL}
    assert {index: int(fresh_digits.labeled_at[index]) for index in places} == places
    labeled = [1, 2, 9, 5, 6, 0, 4]
    assert torch.equal(fresh_digits.labels[labeled], TRUTH[labeled])
    assert int((fresh_digits.labels >= 0).sum()) == len(labeled) == fresh_digits.hidden_labels.num_revealed


@pytest.mark.parametrize(
    ("again", "message"),
    [
        (record(1, queried=[1]), "not in the pool"),
        (record(1, queried=[3]), "not in the pool"),
        (record(1, class_names=["a"]), "the classes were 'a'"),
    ],
    ids=["labeled twice", "skipped before", "other classes"],
)
def test_a_record_of_other_images_is_refused(fresh_digits, again, message):
    move_as_recorded(fresh_digits, record(0, initial=[1], skipped=Skipped([3], ["skip"], [""])))
    with pytest.raises(ValueError, match=message):
        move_as_recorded(fresh_digits, again)


@pytest.mark.parametrize(("known_from", "num_records", "new"), [(1, 1, 7), (2, 1, 7), (2, 2, 7), (2, 0, None)])
def test_present_labels_have_every_correction_and_earlier_states_have_not(fresh_digits, known_from, num_records, new):
    """A label that is corrected while others are requested is known to the fit after the next one only."""
    records = [record(0, initial=[1, 2]), record(1, queried=[9])][: max(num_records, 1)]
    change = Correct([1], [int(TRUTH[1])], [7])
    run = Run(Path(), {}, records, Amendments((Amendment(1, "", known_from, False, "", change),)))
    repeat_all(fresh_digits, run, records[:num_records])
    assert int(fresh_digits.labels[1]) == (-1 if new is None else new)


class Named(Digits):
    """Digits with paths, as files have."""

    def paths(self, index):
        return [f"{row}.png" for row in index.tolist()]


def test_images_are_known_by_their_paths():
    data = Named()
    data.setup()
    data.reset(0)
    first = LabeledImages([4], TRUTH[[4]].tolist(), path=["4.png"])
    move_as_recorded(data, replace(record(0), initial=first))
    renamed = LabeledImages([5], TRUTH[[5]].tolist(), path=["6.png"])
    with pytest.raises(ValueError, match=r"6\.png"):
        move_as_recorded(data, replace(record(1), queried=renamed))


def test_new_classes_come_last(fresh_digits):
    names = [*fresh_digits.class_names]
    know_classes(fresh_digits, [*names, "letter"])
    assert [*fresh_digits.class_names] == [*names, "letter"]
    with pytest.raises(ValueError, match="the classes were"):
        know_classes(fresh_digits, names)
