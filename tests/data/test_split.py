"""The split alone, against a dictionary that remembers where each image went."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msal_lightning.data.label_guard import LabelAccessError, forbid_label_access
from msal_lightning.data.labels import UNKNOWN, HiddenLabels
from msal_lightning.data.places import Place
from msal_lightning.data.split import Split

SIZE = 12
CLASSES = torch.arange(SIZE) % 3


def new():
    return Split(HiddenLabels(CLASSES.clone()))


def tensor(values):
    return torch.tensor(values, dtype=torch.int64)


indices = st.lists(st.integers(-1, SIZE), max_size=5)
moves = st.lists(
    st.tuples(st.sampled_from(["label", "restore", "skip", "leave_out", "hold_out"]), indices, st.integers(0, 3)),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(moves=moves)
def test_any_sequence_of_moves_is_what_a_dictionary_remembers(moves):
    split, place, label = new(), dict.fromkeys(range(SIZE), -1), dict.fromkeys(range(SIZE), UNKNOWN)
    for move, wanted, round in moves:
        source = 0 if move == "hold_out" else -1
        fits = all(place.get(i) == source for i in wanted) and (move == "hold_out" or len({*wanted}) == len(wanted))
        if move == "hold_out" and not all(0 <= i < SIZE for i in wanted):
            continue  # the caller has them from the initial set
        arguments = {
            "label": (tensor(wanted), round),
            "restore": (tensor(wanted), tensor([7] * len(wanted)), round),
        }.get(move, (tensor(wanted),))
        if not fits:
            before = split.state_dict()
            with pytest.raises(ValueError, match=r"label|hold_out"):
                getattr(split, move)(*arguments)
            assert all(torch.equal(before[key], value) for key, value in split.state_dict().items())
        else:
            getattr(split, move)(*arguments)
            goes_to = {"label": round, "restore": round, "skip": -3, "leave_out": -2, "hold_out": -4}[move]
            for i in wanted:
                place[i] = goes_to
                label[i] = {"label": int(CLASSES[i]), "restore": 7}.get(move, label[i])
        assert split.labeled_at.tolist() == [*place.values()]
        assert split.labels.tolist() == [*label.values()]
        assert split.labeled.tolist() == [i for i in place if place[i] >= 0]
        assert split.pool.tolist() == [i for i in place if place[i] == -1]
        assert split.held_out.tolist() == [i for i in place if place[i] == -4]
        split.check_bill()


def test_reserved_images_leave_the_pool_for_a_while():
    split = new()
    before, digest = split.pool.tolist(), split._digest.value
    split.reserve(torch.tensor([5, 2]))
    assert split.pool.tolist() == [i for i in before if i not in (2, 5)]
    assert split.trainable.all()
    with pytest.raises(ValueError, match="not in the pool, index 2 first"):
        split.label(torch.tensor([2]), 1)
    split.release()
    assert (split.pool.tolist(), split._digest.value) == (before, digest)


def test_the_codes_are_those_of_older_checkpoints_and_ledgers():
    codes = {"POOL": -1, "LEFT_OUT": -2, "SKIPPED": -3, "HELD_OUT": -4, "REMOVED": -5, "RESERVED": -6}
    assert {place.name: int(place) for place in Place} == codes
    assert new().labeled_at.dtype == torch.int32


def test_a_label_that_was_given_out_and_not_bought_is_noticed():
    split = new()
    split.hidden_labels.label(tensor([3]))
    with pytest.raises(RuntimeError, match="1 labels were revealed, but 0 images are labeled"):
        split.check_bill()


def test_pseudo_labels_move_nothing_and_are_of_the_pool():
    split = new()
    split.label(tensor([0]), 0)
    with pytest.raises(ValueError, match="not in the pool"):
        split.set_pseudo_labels(tensor([0, 1]), tensor([2, 2]))
    split.set_pseudo_labels(tensor([1]), tensor([2]))
    assert split.pool.tolist() == [*range(1, SIZE)]
    assert split.labels.tolist() == [0] + [UNKNOWN] * (SIZE - 1)
    split.reset()
    assert [len(part) for part in split.pseudo_labels] == [0, 0]


def test_reset_keeps_what_a_long_tail_keeps():
    split = new()
    split.label(tensor([0, 5]), 1)
    split.reset(torch.arange(SIZE) >= 4)
    assert split.labeled_at.tolist() == [-2] * 4 + [-1] * 8
    assert split.labels.tolist() == [UNKNOWN] * SIZE
    assert split.hidden_labels.num_revealed == 0


def test_images_with_labels_of_their_own_come_first():
    labels = CLASSES.clone()
    labels[:6] = UNKNOWN
    split = Split(HiddenLabels(labels))
    order = split.initial_order(torch.Generator().manual_seed(0))
    drawn = torch.randperm(SIZE, generator=torch.Generator().manual_seed(0)).tolist()
    assert order.tolist() == [i for i in drawn if i >= 6] + [i for i in drawn if i < 6]


def test_a_checkpoint_has_all_of_it_and_is_of_one_dataset():
    split, other = new(), new()
    split.label(tensor([2, 3]), 1)
    split.hold_out(tensor([]))
    split.set_pseudo_labels(tensor([4]), tensor([1]))
    state = split.state_dict()
    split.skip(tensor([5]))
    other.load_state_dict(state)
    assert other.labeled_at[[2, 3, 5]].tolist() == [1, 1, -1]
    assert [part.tolist() for part in other.pseudo_labels] == [[4], [1]]
    other.check_bill()
    with pytest.raises(ValueError, match="belongs to another dataset"):
        Split(HiddenLabels(CLASSES[:3])).load_state_dict(state)


def test_nobody_reads_labels_while_a_query_is_computed():
    split = new()
    with forbid_label_access():
        for read in (lambda: split.labels, lambda: split.label(tensor([0]), 0), split.state_dict):
            with pytest.raises(LabelAccessError):
                read()
        assert len(split.pool) == SIZE
