"""Blocks of outputs: the order of events of a GPU, played on the CPU."""

import pytest
import torch

from msal_lightning.query import output_blocks, transfer
from msal_lightning.query.output_blocks import OutputBlocks


def batch(first, rows=4, width=2):
    index = torch.arange(first, first + rows)
    passes = torch.stack([index, -index])[:, :, None].expand(2, rows, 3)
    return {"index": index, "embeddings": index[:, None].expand(rows, width).float(), "mc_logits": passes.float()}


def indices(blocks):
    return [(block.outputs["index"].tolist(), block.dataloader_idx) for block in blocks]


@pytest.fixture
def gpu(monkeypatch):
    """Decides as on a GPU with blocks of 400 bytes, three batches, and 10 kB of free memory."""
    monkeypatch.setattr(output_blocks, "_on_gpu", lambda tensor: True)
    monkeypatch.setattr(output_blocks, "_BLOCK_BYTES", 400)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10_000, 80_000))


def test_on_a_cpu_each_batch_is_a_block_one_batch_later():
    blocks = OutputBlocks(frozenset({"embeddings"}), 100)
    first = batch(0)
    assert blocks.add(first, 0) == []
    (block,) = blocks.add(batch(4), 0)
    assert all(block.outputs[name] is first[name] for name in first)  # nothing is copied
    assert indices(blocks.add(batch(8), 1)) == [([4, 5, 6, 7], 0)]
    assert indices(blocks.finish()) == [([8, 9, 10, 11], 1)]
    assert blocks.finish() == []


def test_on_a_gpu_many_batches_reach_the_host_together(gpu):
    blocks = OutputBlocks()
    assert [indices(blocks.add(batch(4 * i), 0)) for i in range(7)] == [[]] * 5 + [[(list(range(12)), 0)], []]
    assert indices(blocks.add(batch(28), 1)) == [(list(range(12, 24)), 0)]  # a block has rows of one loader
    rest = blocks.finish()
    assert indices(rest) == [([24, 25, 26, 27], 0), ([28, 29, 30, 31], 1)]
    assert rest[0].outputs["mc_logits"][:, :, 0].tolist() == [[24, 25, 26, 27], [-24, -25, -26, -27]]


def test_a_block_of_several_batches_keeps_the_order_of_all_outputs(gpu):
    blocks = OutputBlocks()
    for i in range(3):
        blocks.add(batch(4 * i), 0)
    (block,) = blocks.finish()
    assert block.outputs["embeddings"][:, 1].tolist() == list(range(12))
    assert block.outputs["mc_logits"][1, :, 2].tolist() == [-i for i in range(12)]


@pytest.mark.parametrize(("num_rows", "stay"), [(312, True), (313, False)])
def test_outputs_stay_on_the_device_if_a_quarter_of_its_free_memory_holds_them(gpu, monkeypatch, num_rows, stay):
    kept = []

    class Watched(transfer.Transfer):
        def __init__(self, tensors, stay):
            kept.append(stay)
            super().__init__(tensors, stay)

    monkeypatch.setattr(output_blocks, "Transfer", Watched)
    blocks = OutputBlocks(frozenset({"embeddings", "logits"}), num_rows)  # 8 bytes a row, of 2,500
    blocks.add(batch(0), 0)
    blocks.finish()
    assert kept == [frozenset({"embeddings"} if stay else ())]


def test_outputs_that_stay_do_not_fill_a_block(gpu):
    blocks = OutputBlocks(frozenset({"embeddings", "mc_logits"}), 1)
    assert all(blocks.add(batch(4 * i), 0) == [] for i in range(12))
    (block,) = blocks.finish()
    assert block.outputs["index"].tolist() == list(range(48))


def test_a_process_without_rows_has_an_empty_block(gpu):
    blocks = OutputBlocks(frozenset({"embeddings"}), 0)
    blocks.add(batch(0, rows=0), 0)
    assert indices(blocks.finish()) == [([], 0)]
