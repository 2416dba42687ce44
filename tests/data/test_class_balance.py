"""Epochs with the same number of images of each class: counts, repetition, ranks, resume."""

import filecmp

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msal_lightning.cli.main import main
from msal_lightning.data.batches.epoch_batches import EpochBatches
from msal_lightning.data.class_balance import balanced_rows
from msal_lightning.datasets import Digits

TINY = [
    "fit", "--config", "digits", "--trainer.max_steps", "40", "--trainer.accelerator", "cpu", "--loop.query_size",
    "40", "--loop.initial_size", "150", "--loop.query_budget", "40", "--model.backbone.width", "4",
    "--data.imbalance", "0.05", "--data.class_path", "Digits",
]  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(0, 99))
def test_classes_are_equal_and_no_row_repeats_before_all_came(sizes, seed):
    labels = torch.cat([torch.full((n,), 3 * c) for c, n in enumerate(sizes)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    rows = balanced_rows(labels, torch.Generator().manual_seed(seed))
    assert len(rows) == len(labels)
    drawn = [int((labels[rows] == 3 * c).sum()) for c, n in enumerate(sizes) if n]
    assert max(drawn, default=0) - min(drawn, default=0) <= 1
    times = torch.bincount(rows, minlength=len(labels))
    for c, n in enumerate(sizes):
        if n:
            of_class = times[labels == 3 * c]
            assert int(of_class.max() - of_class.min()) <= 1
    assert torch.equal(rows, balanced_rows(labels, torch.Generator().manual_seed(seed)))


def test_batches_keep_their_sizes_and_ranks_share_them():
    index, labels = torch.arange(5250) * 2, (torch.arange(5250) >= 5200).long()
    alone = list(EpochBatches(index, 128, 0, labels=labels))
    assert [len(batch) for batch in alone] == [125] * 42
    drawn = torch.cat(alone)
    assert int((drawn >= 10400).sum()) == 2625
    parts = [list(EpochBatches(index, 128, 0, rank, 2, labels=labels)) for rank in (0, 1)]
    together = torch.cat([torch.cat(pair) for pair in zip(*parts, strict=True)])
    assert int((together >= 10400).sum()) in range(2600, 2651)
    epochs = EpochBatches(index, 128, 0, labels=labels)
    epochs.set_epoch(1)
    assert not torch.equal(torch.cat(list(epochs)), drawn)


def test_a_fit_sees_each_class_equally_often():
    data = Digits(sampling="balanced", imbalance=0.05, batch_size=16)
    data.setup()
    data.reset(0)
    data.draw_initial(150)
    labels = torch.cat([batch.label for batch in data.train_dataloader()])
    assert len(labels) == 150
    assert torch.bincount(labels).tolist() == [15] * 10
    assert len(data.labels[data.labeled].unique()) == 10
    with pytest.raises(Exception, match=r"data\.sampling to be uniform or balanced"):
        Digits(sampling="even")


@pytest.mark.slow
def test_whole_epochs_and_a_resumed_fit_give_the_same_run(tmp_path):
    args = [*TINY, "--data.sampling", "balanced", "--run_dir"]
    assert main([*args, str(tmp_path / "a")]) == 0
    (tmp_path / "b").mkdir()
    assert main([*args, str(tmp_path / "b"), "--loop.query_budget", "0"]) == 0
    assert main(["extend", str(tmp_path / "b"), "--labels", "40"]) == 0
    assert filecmp.cmp(tmp_path / "a/ledger.csv", tmp_path / "b/ledger.csv", shallow=False)


def test_balanced_twice_is_refused(tmp_path, capsys):
    twice = ["--data.sampling", "balanced", "--model.class_weights", "balanced", "--run_dir", str(tmp_path / "run")]
    assert main([*TINY, *twice]) == 2
    assert "expected model.class_weights or data.sampling to be balanced, got both" in capsys.readouterr().err
