"""Images per step of the test and of the pool pass."""

from types import SimpleNamespace

import pytest
import torch

from msal_lightning.data.batches.eval_batch_size import images_per_step
from msal_lightning.datasets import Digits
from msal_lightning.errors import DataError
from msal_lightning.training.gpu_memory import SHARE

GPU = torch.device("cuda", 0)


def on_gpu(monkeypatch, size, gigabytes=80, num_workers=0):
    found = SimpleNamespace(total_memory=gigabytes * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    return images_per_step("auto", (60_000, 3, size, size), GPU, num_workers)


def test_a_number_is_taken_as_it_is_and_a_cpu_takes_500():
    assert images_per_step(7, (10, 1, 8, 8), GPU, 0) == 7
    assert images_per_step("auto", (10, 1, 8, 8), torch.device("cpu"), 0) == 500
    data = Digits()
    data.setup()
    data.reset(0)
    assert [len(batch.index) for batch in data.test_dataloader()] == [500]
    assert [len(batch.index) for batch in data.predict_dataloader()] == [500, 500, 297]


@pytest.mark.parametrize(("size", "images"), [(28, 4000), (32, 4000), (64, 3062), (224, 250), (1024, 11), (9000, 1)])
def test_a_gpu_takes_fewer_images_if_they_are_large(monkeypatch, size, images):
    assert on_gpu(monkeypatch, size) == images


def test_a_gpu_takes_fewer_images_if_its_memory_is_small(monkeypatch):
    assert on_gpu(monkeypatch, 64, gigabytes=8) == 953
    assert on_gpu(monkeypatch, 32, gigabytes=8) == 3814
    monkeypatch.setenv(SHARE, "0.25")  # four runs share the GPU
    assert on_gpu(monkeypatch, 64, gigabytes=32) == 953


def test_images_that_processes_decode_come_in_small_batches(monkeypatch):
    assert on_gpu(monkeypatch, 32, num_workers=8) == 500
    assert on_gpu(monkeypatch, 224, num_workers=8) == 250


@pytest.mark.parametrize("given", [0, -3, "automatic"])
def test_what_is_no_number_of_images_is_refused(given):
    with pytest.raises(DataError, match=rf"data\.eval_batch_size to be auto or at least 1, got {given}"):
        Digits(eval_batch_size=given)
