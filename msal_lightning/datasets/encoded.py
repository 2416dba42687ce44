"""Datasets of images that are no files of their own: what they have in common."""

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from msal_lightning.data.augmentation import Augmentation
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.epoch_batches import LastBatch
from msal_lightning.data.batches.eval_batch_size import EvalBatchSize
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.data.batches.memory import workers_to_decode
from msal_lightning.data.class_balance import Sampling
from msal_lightning.data.images.decoding import Decoding, Fit
from msal_lightning.data.images.encoded_images import DecodedOnAccess, SomeImages
from msal_lightning.data.labels import UNKNOWN
from msal_lightning.data.stratified import hold_out
from msal_lightning.errors import DataError

_SCALES = {
    1: ((0.5,), (0.25,)),
    3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet's
}


class EncodedPart(NamedTuple):
    """The images of a split.

    Attributes:
        images: decoded on access.
        label: (N,) int64, -1 where unknown.
    """

    images: DecodedOnAccess
    label: Tensor


class EncodedDataset(ActiveDataModule):
    """Images in rows of a table, archives or another dataset, decoded to squares.

    Args:
        root: where they are.
        test_fraction: share of each class that is held out as the test set, if there is none.
        test_seed: seed of the test_fraction draw; independent of the run's seed.
        size: pixels of a side.
        fit: how an image becomes a square: crop, letterbox or squash, as in ImageFolder.
        channels: 3 for RGB, 1 for grey.
        in_memory: true decodes all images once; false decodes them when they are needed; auto keeps them in memory if
            they take less than half of the free memory.
        num_workers: number of processes that decode; by default one per CPU, at most 8.
        **options: those of :class:`~msal_lightning.data.ActiveDataModule`.

    Raises:
        DataError: an option is out of range.
    """

    def __init__(
        self,
        root: str,
        test_fraction: float,
        test_seed: int,
        size: int,
        fit: Fit,
        channels: Literal[1, 3],
        in_memory: bool | Literal["auto"],
        num_workers: int | None,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        if not 0 < test_fraction < 1:
            raise DataError(f"expected data.test_fraction to be between 0 and 1, got {test_fraction}: 0.2 is usual")
        if size < 1:
            raise DataError(f"expected data.size to be at least 1 pixel, got {size}: 224 is usual")
        self.test_fraction, self.test_seed = test_fraction, test_seed
        self.memory, self.workers = in_memory, num_workers
        self.mean, self.std = _SCALES[channels]
        padding = tuple(round(255 * value) for value in self.mean)
        self.decoding = Decoding(size, channels, fit, padding=padding)
        self.class_names = ()

    @abstractmethod
    def open_parts(self) -> list[EncodedPart]:
        """Open the training images, and the test images if there are some; set the names of the classes.

        Raises:
            UserError: they are missing or damaged.
        """

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Open the images, then decode them or leave them encoded.

        Raises:
            UserError: they are missing or damaged, or a class has too few images.
        """
        parts = self.open_parts()
        self.partly_labeled = bool((parts[0].label == UNKNOWN).any())
        if len(parts) > 1 and bool((parts[1].label == UNKNOWN).any()):
            raise DataError(f"expected labels of all test images of {self.name}, got some without: add them")
        if len(parts) == 1 and not self.partly_labeled:
            parts = self._hold_out(parts[0])
        workers = workers_to_decode(self.memory, self.workers, sum(part.images.num_bytes for part in parts))
        self.num_workers = workers or 0
        sets = [ImageSet(part.images.load() if workers is None else part.images, part.label) for part in parts]
        assert self.decoding is not None
        shape = (0, self.decoding.channels, self.decoding.size, self.decoding.size)
        empty = ImageSet(torch.empty(shape, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
        return sets[0], sets[1] if len(sets) > 1 else empty

    def _hold_out(self, part: EncodedPart) -> list[EncodedPart]:
        drawn = hold_out(part.label.numpy(), self.class_names, self.test_fraction, self.test_seed, "images")
        is_test = torch.from_numpy(drawn)
        rows = [(~is_test).nonzero()[:, 0], is_test.nonzero()[:, 0]]
        return [EncodedPart(SomeImages(part.images, some), part.label[some]) for some in rows]


def common(
    batch_size: int,
    eval_batch_size: EvalBatchSize,
    augmentation: Augmentation | None,
    imbalance: float | None,
    batch_size_per_device: bool,
    last_batch: LastBatch,
    validation_fraction: float,
    sampling: Sampling,
) -> dict[str, Any]:
    """Return the options of every dataset by name."""
    return locals()
