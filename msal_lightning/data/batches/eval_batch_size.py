"""How many images a step of the test and of the pool pass takes."""

from collections.abc import Sequence
from typing import Literal

import torch

from msal_lightning.errors import DataError
from msal_lightning.training.gpu_memory import gpu_share

EvalBatchSize = int | Literal["auto"]

_ON_CPU = 500  # larger batches are no faster there, and this size decides the last digits of older runs
_ON_GPU = 4_000  # a step of a small image and network is so short that launching its kernels takes longer
_PIXELS = 250 * 224 * 224  # at most, in a batch; larger images keep a GPU busy in smaller batches
_BYTES_PER_PIXEL = 2048  # half of the memory holds four float32 maps of 64 channels at full resolution


def check_eval_batch_size(given: EvalBatchSize) -> None:
    """Reject a number of images that no step can take.

    Raises:
        DataError: it is neither auto nor at least 1.
    """
    if given != "auto" and (isinstance(given, str) or given < 1):
        raise DataError(f"expected data.eval_batch_size to be auto or at least 1, got {given}: auto suits the device")


def images_per_step(given: EvalBatchSize, shape: Sequence[int], device: torch.device, num_workers: int) -> int:
    """Return the number of images of one step without gradients.

    Args:
        given: the number, or auto: 500 on a CPU, and up to 4,000 on a GPU, by the size of an image and the memory.
        shape: (N, C, H, W) of the images.
        device: device of the Trainer.
        num_workers: processes that read images; each reads whole batches, so that few large ones would not occupy all.
    """
    if given != "auto":
        return given
    if device.type != "cuda":
        return _ON_CPU
    memory = gpu_share() * torch.cuda.get_device_properties(device).total_memory
    pixels = min(_PIXELS, int(memory) // _BYTES_PER_PIXEL)
    most = _ON_CPU if num_workers else _ON_GPU
    return max(1, min(most, pixels // (shape[2] * shape[3])))
