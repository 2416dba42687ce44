"""The part of the labeled set to validate on: its size, its classes, and that it stays."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msal_lightning.data.validation import is_validation, num_validation
from msal_lightning.datasets import Digits
from msal_lightning.errors import UserError


def test_numbers_by_hand():
    assert [num_validation(0.2, n) for n in (0, 4, 5, 9, 10)] == [0, 0, 1, 1, 2]
    assert [num_validation(0.29, 100), num_validation(0.1, 30), num_validation(0, 50)] == [29, 3, 0]


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    fraction=st.sampled_from([0.1, 0.2, 0.25, 1 / 3, 0.5, 0.9]),
    seed=st.integers(0, 5),
)
def test_counts_classes_and_later_rounds(sizes, fraction, seed):
    generator = torch.Generator().manual_seed(seed)
    index = torch.randperm(1000, generator=generator)[: sum(sizes)].sort().values
    rounds = torch.cat([torch.full((n,), k) for k, n in enumerate(sizes)])
    rounds = rounds[torch.randperm(len(rounds), generator=generator)]
    label = torch.randint(4, (len(index),), generator=generator)
    before = set()
    for k in range(len(sizes)):
        known = rounds <= k
        drawn = is_validation(fraction, seed, index[known], rounds[known], label[known])
        assert int(drawn.sum()) == num_validation(fraction, int(known.sum()))
        now = set(index[known][drawn].tolist())
        old = set(index[rounds < k].tolist())
        assert now & old == before  # the same in all later rounds
        for c in range(4):
            group = (rounds[known] == k) & (label[known] == c)
            assert abs(int(drawn[group].sum()) - fraction * int(group.sum())) < 1
        before = now


def test_the_seed_and_nothing_else_draws():
    index, rounds, label = torch.arange(100), torch.zeros(100), torch.zeros(100)
    drawn = [is_validation(0.2, seed, index, rounds, label).nonzero()[:, 0].tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != list(range(4, 100, 5))


def test_loaders_share_the_labeled_set():
    data = Digits(validation_fraction=0.2, batch_size=8)
    data.setup()
    data.reset(0)
    data.draw_initial(40)
    trained = torch.cat([batch.index for batch in data.train_dataloader()])
    (loader,) = data.val_dataloader()
    validated = torch.cat([batch.index for batch in loader])
    assert (len(trained), len(validated), data.num_trained(40)) == (32, 8, 32)
    assert torch.equal(torch.cat([trained, validated]).sort().values, data.labeled)
    assert torch.equal(torch.cat([batch.label for batch in loader]), data.labels[validated])
    everything = Digits()
    everything.setup()
    everything.reset(0)
    everything.draw_initial(40)
    assert everything.val_dataloader() == []


@pytest.mark.parametrize("fraction", [-0.1, 1, float("nan")])
def test_shares_that_are_none(fraction):
    with pytest.raises(UserError, match=r"expected data.validation_fraction to be at least 0 and below 1, got"):
        Digits(validation_fraction=fraction)
