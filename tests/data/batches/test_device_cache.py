"""Images on a GPU; the decisions, not the copies, which tests/test_gpu.py makes."""

import torch

from msal_lightning.data.batches.device_cache import DeviceCache
from msal_lightning.data.images.image_files import ImageFiles

GPU = torch.device("cuda", 0)


def test_on_a_cpu_and_for_files_nothing_is_copied(tmp_path):
    image = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    assert DeviceCache().place(image, torch.device("cpu")) is image
    files = ImageFiles([tmp_path / "a.png"], 8, 1)
    assert DeviceCache().place(files, GPU) is files


def test_what_takes_more_than_half_of_the_free_memory_stays_on_the_host(monkeypatch):
    image = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * image.nbytes - 1, 10**9))
    assert DeviceCache().place(image, GPU) is image
