"""Failures of the machine end in one sentence, and nothing else is printed."""

import gc
import sys

import pytest
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from msal_lightning.errors import UserError
from msal_lightning.training.failures import explained


class Other:
    def __del__(self):
        self.missing  # noqa: B018


def test_a_half_made_loader_leaves_no_traceback_on_the_screen(monkeypatch, capsys):
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)  # instead of pytest's
    half = _MultiProcessingDataLoaderIter.__new__(_MultiProcessingDataLoaderIter)
    half._shutdown = False
    with pytest.raises(UserError, match="a process that reads images was killed"), explained(1):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
    del half
    other = Other()
    del other
    gc.collect()
    printed = capsys.readouterr().err
    assert "DataLoader" not in printed
    assert "object has no attribute 'missing'" in printed
