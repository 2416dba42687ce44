"""Runs that share a GPU's memory."""

import pytest
import torch

from msal_lightning.errors import ConfigError
from msal_lightning.training.gpu_memory import SHARE, check_memory, gpu_share, take_share


def test_a_process_has_a_whole_gpu_unless_a_sweep_divides_it():
    assert gpu_share({}) == 1
    assert gpu_share({SHARE: "0.125"}) == 0.125


def test_a_run_that_cannot_fit_is_told_so_before_it_starts(monkeypatch):
    check_memory(2e9, 2e9, 128)
    with pytest.raises(ConfigError, match=r"2\.0 GB .* this process can get, got at least 3\.0 GB for a batch of 128"):
        check_memory(3e9, 2e9, 128)
    monkeypatch.setenv(SHARE, "0.125")
    with pytest.raises(ConfigError, match=r"one of 8 that share a GPU, can get, .*: lower --jobs of the sweep or data"):
        check_memory(3e9, 2e9, 128)


def test_a_cpu_is_not_divided(monkeypatch):
    monkeypatch.setenv(SHARE, "0.125")
    take_share(torch.device("cpu"))
