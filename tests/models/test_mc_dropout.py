"""Masks of passes with dropout."""

import torch

from msal_lightning.models.mc_dropout import DropoutMasks
from msal_lightning.seeding import stream
from msal_lightning.strategies import BALD, BatchBALD, PowerAcquisition

ONES = torch.ones(5000, 40)
INDEX = torch.arange(5000) * 7


def draw(shared=False, passes=3, p=0.2):
    generators = [stream(0, "dropout", 0, t) for t in range(passes)]
    masks = DropoutMasks(generators, p, 40, shared, torch.device("cpu"))
    return masks, torch.stack([masks.apply(ONES, INDEX, t) for t in range(passes)])


def test_values_are_dropped_or_scaled_so_that_the_mean_stays():
    _, seen = draw()
    assert set(seen.unique().tolist()) == {0.0, 1.25}
    # a bank has 256 · 40 draws: the mean of a pass is within five standard deviations of 1
    assert ((seen.mean(dim=(1, 2)) - 1).abs() < 5 * 0.5 / (256 * 40) ** 0.5).all()


def test_images_and_passes_have_masks_of_their_own():
    _, seen = draw()
    kept = (seen > 0).float()
    for a, b in ((kept[0, :-1], kept[0, 1:]), (kept[0], kept[1]), (kept[1], kept[2])):
        # alike in 0.8² + 0.2² of the places where they are independent
        assert abs((a == b).float().mean() - 0.68) < 0.02
    same = (kept[:, :-1] == kept[:, 1:]).all(dim=2)  # the whole mask, in each pass
    assert (same.float().mean(dim=1) < 0.01).all()
    assert not same.all(dim=0).any()


def test_a_mask_depends_on_the_index_only():
    masks, seen = draw()
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(0))
    for part in order.split(311):
        assert torch.equal(masks.apply(ONES[part], INDEX[part], 1), seen[1, part])


def test_shared_masks_are_the_same_for_all_images():
    _, seen = draw(shared=True)
    assert (seen == seen[:, :1]).all()
    assert not torch.equal(seen[0], seen[1])


def test_masks_are_evenly_used():
    masks, _ = draw(passes=1)
    bits = torch.stack([masks.apply(torch.ones(100_000, 40), torch.arange(100_000), 0)])[0] > 0
    counts = bits.unique(dim=0, return_counts=True)[1]
    assert len(counts) > 250  # two of 256 masks may be alike
    assert counts.max() < 2 * 100_000 / 256 * 1.2


def test_a_strategy_that_looks_at_images_together_shares_them():
    assert BatchBALD().shared_masks
    assert PowerAcquisition(BatchBALD().uncertainty).shared_masks is False
    assert not BALD().shared_masks
