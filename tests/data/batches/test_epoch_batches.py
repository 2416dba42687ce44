"""The batches of an epoch: every image once, no batch of one, and the two ways to cut the order."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from msal_lightning.data.batches.epoch_batches import EpochBatches, balanced_sizes


def batches(n, batch_size, last_batch="balanced", **more):
    order = EpochBatches(torch.arange(n) * 3, batch_size, seed=1, last_batch=last_batch, **more)
    found = list(order)
    assert len(order) == len(found)
    return found


@given(n=st.integers(2, 300), batch_size=st.integers(2, 150), last_batch=st.sampled_from(["balanced", "keep"]))
def test_an_epoch_has_every_image_once_and_no_batch_of_one(n, batch_size, last_batch):
    found = batches(n, batch_size, last_batch)
    sizes = [len(batch) for batch in found]
    assert sorted(torch.cat(found).tolist()) == [3 * i for i in range(n)]
    assert min(sizes) >= 2
    assert max(sizes) <= batch_size + 1


@given(n=st.integers(1, 300), batch_size=st.integers(3, 150))
def test_balanced_batches_are_as_many_as_full_ones_and_differ_by_one_image_at_most(n, batch_size):
    sizes = [len(batch) for batch in batches(n, batch_size)]
    assert len(sizes) == -(-n // batch_size)
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size


@given(n=st.integers(2, 300), batch_size=st.integers(2, 150))
def test_keep_fills_all_batches_but_the_last(n, batch_size):
    sizes = [len(batch) for batch in batches(n, batch_size, "keep")]
    assert set(sizes[:-1]) <= {batch_size}
    assert len(sizes) == max(1, n // batch_size + (n % batch_size > 1))


def test_the_papers_protocol_at_5250_labels_by_hand():
    assert [len(batch) for batch in batches(5250, 128)] == [125] * 42
    assert [len(batch) for batch in batches(5250, 128, "keep")] == [128] * 41 + [2]
    assert [len(batch) for batch in batches(7, 3)] == [3, 2, 2]


@pytest.mark.parametrize("last_batch", ["balanced", "keep"])
@pytest.mark.parametrize("more", [{}, {"ranks": 2}, {"ranks": 2, "per_device": True}])
def test_one_image_is_paired_with_itself(last_batch, more):
    assert [batch.tolist() for batch in batches(1, 4, last_batch, **more)] == [[0, 0]]


def test_both_ways_go_through_the_same_order():
    assert torch.cat(batches(70, 32)).equal(torch.cat(batches(70, 32, "keep")))


@given(n=st.integers(1, 200), share=st.integers(2, 9), ranks=st.integers(1, 5), epoch=st.integers(0, 3))
def test_several_processes_share_the_batches_of_one(n, share, ranks, epoch):
    def steps(rank, ranks):
        order = EpochBatches(torch.arange(100, 100 + n), share * len(parts), 7, rank, ranks, last_batch="keep")
        order.set_epoch(epoch)
        return list(order)

    parts = range(ranks)
    one = steps(0, 1)
    shared = [steps(rank, ranks) for rank in parts]
    assert {len(part) for part in shared} == {len(one)}
    for step, whole in enumerate(one):
        of_each = [part[step].tolist() for part in shared]
        assert set().union(*of_each) == set(whole.tolist())
        assert len({len(batch) for batch in of_each}) == 1
        assert len(of_each[0]) > 1
        if len(whole) == share * ranks:
            assert sorted(itertools.chain(*of_each)) == sorted(whole.tolist())


@given(n=st.integers(1, 200), share=st.integers(2, 9), ranks=st.integers(2, 5))
def test_balanced_batches_divide_among_processes(n, share, ranks):
    steps = list(zip(*(batches(n, share * ranks, rank=rank, ranks=ranks) for rank in range(ranks)), strict=True))
    for size, of_each in zip(balanced_sizes(n, share * ranks, ranks), steps, strict=True):
        assert len({len(batch) for batch in of_each}) == 1
        assert 2 <= len(of_each[0]) <= max(2, share)
        together = torch.cat(of_each)
        if size % ranks == 0 and size >= 2 * ranks:
            assert len(together.unique()) == len(together) == size  # no image twice
    assert set(torch.cat([batch for step in steps for batch in step]).tolist()) == {3 * i for i in range(n)}


def test_sizes_of_few_images_on_many_processes():
    assert balanced_sizes(6, 8, 4) == [6]
    assert balanced_sizes(5, 2) == [3, 2]
    assert balanced_sizes(10, 8, 4) == [4, 6]
