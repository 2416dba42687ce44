"""Perceptual hashes of images: images that look alike have hashes of which few bits differ."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from msal_lightning.data.batches.loading import ImageStore, displayable
from msal_lightning.errors import ConfigError

_BATCH = 64


def hash_images(images: ImageStore) -> Iterator[NDArray[np.uint64]]:
    """Hash images by the lowest frequencies of their grey values, ``phash`` of imagehash, some at a time.

    Args:
        images: (N, C, H, W) uint8.

    Yields:
        (n,) uint64, the hashes of the next images.

    Raises:
        ConfigError: imagehash is not installed.
    """
    try:
        import imagehash
    except ModuleNotFoundError:
        raise ConfigError(
            "expected the extra duplicates to look for near-duplicates, got no imagehash: pip install "
            "'msal_lightning[duplicates]'"
        ) from None
    for rows in torch.split(torch.arange(images.shape[0]), _BATCH):
        found = [imagehash.phash(Image.fromarray(displayable(image))).hash for image in images[rows]]
        yield np.packbits(np.stack(found).reshape(len(found), -1), axis=1).view(np.uint64)[:, 0]
