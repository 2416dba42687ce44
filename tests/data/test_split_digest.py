"""The digest of a split, followed move by move, against one computed from the whole."""

import hashlib

import pytest
import torch

from msal_lightning.data.places import Place
from msal_lightning.datasets import Digits
from msal_lightning.training.checkpoint import read_fit


@pytest.fixture
def data(fresh_digits):
    return fresh_digits


def moved(data, *moves):
    """The data after moves from the start."""
    data.reset(0)
    data.draw_initial(40)
    for move in moves:
        move(data.split)
    return data.digest()


MOVES = {
    "label": lambda split: split.label(torch.tensor([5, 900, 7]), 1),
    "skip": lambda split: split.skip(torch.tensor([11])),
    "leave out": lambda split: split.leave_out(torch.tensor([1200, 13])),
    "hold out": lambda split: split.hold_out((split.labeled_at == 0).nonzero()[:7, 0]),
    "pseudo-labels": lambda split: split.set_pseudo_labels(torch.tensor([20, 21]), torch.tensor([3, 4])),
}


@pytest.fixture(autouse=True)
def free_rows(data):
    """No row that the moves name is in the initial set."""
    data.reset(0)
    data.draw_initial(40)
    assert (data.labeled_at[[5, 900, 7, 11, 1200, 13, 20, 21]] == Place.POOL).all()


def test_each_move_changes_it_and_the_order_of_moves_does_not(data):
    seen = {name: moved(data, move) for name, move in MOVES.items()}
    assert len({moved(data), *seen.values()}) == len(MOVES) + 1
    assert moved(data, *MOVES.values()) == moved(data, *list(MOVES.values())[::-1])


def test_a_split_that_was_restored_has_the_digest_of_the_one_that_was_followed(data):
    digest, state = moved(data, *MOVES.values()), data.state_dict()
    other = Digits()
    other.setup()
    other.load_state_dict(state)
    assert other.digest() == digest


@pytest.mark.parametrize("change", ["index", "round", "label"])
def test_it_tells_images_rounds_and_labels_apart(data, change):
    def restore(index=5, label=3, round=1):
        return moved(data, lambda split: split.restore(torch.tensor([index]), torch.tensor([label]), round))

    other = {"index": {"index": 7}, "round": {"round": 2}, "label": {"label": 4}}[change]
    assert restore() != restore(**other)


def test_a_long_tail_is_part_of_it():
    data = Digits(imbalance=0.1)
    data.setup()
    data.reset(0)
    other = Digits()
    other.setup()
    other.reset(0)
    assert data.digest() != other.digest()
    state, digest = data.state_dict(), data.digest()
    data.load_state_dict(state)
    assert data.digest() == digest


def test_a_fit_that_an_older_version_saved_goes_on(data, tmp_path):
    moved(data, *MOVES.values())
    before = hashlib.blake2s(repr(((1297, 1, 8, 8), 0, 0)).encode(), digest_size=8)
    for tensor in (data.split.labeled_at, data.split.labels, *data.split.pseudo_labels):
        before.update(tensor.long().numpy().tobytes())  # as commit b0121bf did it
    entry = {"round": 1, "split": before.hexdigest(), "config": "c", "attempt": 0, "seconds": 2.0, "rows": []}
    torch.save({"epoch": 4, "msal_lightning": entry}, tmp_path / "fit.ckpt")
    origin = {"round": 1, "split": data.digest(), "config": "c"}
    former = {"split": data.former_digest}
    assert read_fit(tmp_path / "fit.ckpt", origin, former).epochs == 5
    data.split.skip(torch.tensor([30]))
    assert "its split differ" in read_fit(tmp_path / "fit.ckpt", origin | {"split": data.digest()}, former)
