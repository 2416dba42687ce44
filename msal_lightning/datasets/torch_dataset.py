"""Any dataset of torch that has a length."""

import threading
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from msal_lightning.data.augmentation import Augmentation
from msal_lightning.data.batches.epoch_batches import LastBatch
from msal_lightning.data.batches.eval_batch_size import EvalBatchSize
from msal_lightning.data.class_balance import Sampling
from msal_lightning.data.images.decoding import Decoding, Fit
from msal_lightning.data.images.encoded_images import DecodedOnAccess
from msal_lightning.data.images.image_files import in_threads
from msal_lightning.data.label_files.label_table import class_order
from msal_lightning.data.labels import UNKNOWN
from msal_lightning.datasets.encoded import EncodedDataset, EncodedPart, common
from msal_lightning.errors import DataError


class TorchDataset(EncodedDataset):
    """Any dataset of torch with a length, whose items are an image and a label.

    An image is a picture of Pillow, a tensor (C, H, W) or an array (H, W, C), uint8 or from 0 to 1. A label is a whole
    number, -1 if unknown, or a name. Images are read through the dataset; its transform must not be random.

    Args:
        train: the training images: class_path and init_args, or an object in Python.
        test: the test images; None holds out test_fraction.
        classes: names of the classes in the order of their numbers; by default the dataset's own, or the numbers.
        test_fraction: share of each class that is held out as the test set, if there is none.
        test_seed: seed of the test_fraction draw; independent of the run's seed.
        size: pixels of a side.
        fit: how an image becomes a square, as in ImageFolder.
        channels: 3 for RGB, 1 for grey.
        in_memory: true decodes all images once; false decodes them when they are needed; auto keeps them in memory if
            they take less than half of the free memory.
        num_workers: number of processes that decode; by default one per CPU, at most 8.
        batch_size: images per training step, shared by all devices.
        eval_batch_size: images per step of the test and of the pool pass; auto suits the device.
        augmentation: transforms training images.
        imbalance: images of the last class over images of the first in a long-tailed version.
        batch_size_per_device: apply batch_size to each device.
        last_batch: balanced cuts an epoch into batches of nearly the same size; keep leaves a small last batch.
        validation_fraction: share of the labeled images that a fit leaves out to find its best epoch; 0 trains on all.
        sampling: balanced draws the same number of images of each class in an epoch, so that rare ones repeat.

    Raises:
        UserError: an option is out of range, or a dataset has no length.
    """

    def __init__(
        self,
        train: Dataset,  # type: ignore[type-arg] # jsonargparse finds the options of classes below the plain one
        test: Dataset | None = None,  # type: ignore[type-arg]
        classes: list[str] | None = None,
        test_fraction: float = 0.2,
        test_seed: int = 0,
        size: int = 224,
        fit: Fit = "crop",
        channels: Literal[1, 3] = 3,
        in_memory: bool | Literal["auto"] = "auto",
        num_workers: int | None = None,
        batch_size: int = 128,
        eval_batch_size: EvalBatchSize = "auto",
        augmentation: Augmentation | None = None,
        imbalance: float | None = None,
        batch_size_per_device: bool = False,
        last_batch: LastBatch = "balanced",
        validation_fraction: float = 0.0,
        sampling: Sampling = "uniform",
    ) -> None:
        shared = common(
            batch_size,
            eval_batch_size,
            augmentation,
            imbalance,
            batch_size_per_device,
            last_batch,
            validation_fraction,
            sampling,
        )
        super().__init__(
            type(train).__name__, test_fraction, test_seed, size, fit, channels, in_memory, num_workers, **shared
        )
        self._datasets = [train] if test is None else [train, test]
        self.classes = classes
        for key, one in zip(("train", "test"), self._datasets, strict=False):
            if not hasattr(one, "__len__") or not hasattr(one, "__getitem__"):
                raise DataError(
                    f"expected data.{key} to have a length and items, got {type(one).__name__}: a stream cannot be a "
                    "pool, because a query needs the same image again"
                )

    def open_parts(self) -> list[EncodedPart]:
        """Read the labels; images are read when they are needed.

        Raises:
            DataError: an item is no image with a label.
        """
        assert self.decoding is not None
        images = [ItemImages(one, self.decoding) for one in self._datasets]
        labels = [_labels(one) for one in self._datasets]
        self.class_names = self._names([label for part in labels for label in part])
        number = {name: c for c, name in enumerate(self.class_names)}
        return [
            EncodedPart(part, torch.tensor([self._number(label, number) for label in some], dtype=torch.int64))
            for part, some in zip(images, labels, strict=True)
        ]

    def _names(self, labels: list[int | str]) -> tuple[str, ...]:
        if self.classes is not None:
            return tuple(self.classes)
        if texts := {label for label in labels if isinstance(label, str)}:
            return class_order(texts)
        highest = max((int(label) for label in labels), default=UNKNOWN)
        own = getattr(self._datasets[0], "classes", None)
        if isinstance(own, Sequence) and len(own) > highest and all(isinstance(name, str) for name in own):
            return tuple(own)
        return tuple(map(str, range(highest + 1)))

    def _number(self, label: int | str, number: dict[str, int]) -> int:
        if isinstance(label, str):
            if label not in number:
                raise DataError(f"expected the labels to be among data.classes, got '{label}': add it")
            return number[label]
        if not UNKNOWN <= label < len(number):
            raise DataError(f"expected labels from 0 to {len(number) - 1}, or -1, got {label}: correct data.classes")
        return label


class ItemImages(DecodedOnAccess):
    """The images of the items of a dataset.

    Args:
        items: the dataset.
        how: how an image becomes a square.
    """

    def __init__(self, items: Dataset[Any], how: Decoding) -> None:
        super().__init__(len(items), how)  # type: ignore[arg-type] # checked by TorchDataset
        self._items = items

    def read(self, place: int, how: Decoding) -> NDArray[np.uint8]:  # noqa: D102
        picture = _picture(_item(self._items, place)[0], place)
        return how.square([picture.convert("L" if how.channels == 1 else "RGB")])


_ONE_AT_A_TIME = threading.Lock()  # torch never reads a dataset from several threads, so it may not bear it


def _item(items: Dataset[Any], place: int) -> tuple[Any, Any]:
    with _ONE_AT_A_TIME:
        item = items[place]
    if not isinstance(item, Sequence) or isinstance(item, str) or len(item) < 2:
        raise DataError(
            f"expected each item of {type(items).__name__} to be an image and a label, got {type(item).__name__} at "
            f"{place}: wrap the dataset in one that gives both"
        )
    return item[0], item[1]


def _labels(items: Dataset[Any]) -> list[int | str]:
    """Return the label of each item: from the attribute ``targets`` if there is one, otherwise from the items."""
    count = len(items)  # type: ignore[arg-type]
    known = getattr(items, "targets", None)
    if known is None or len(known) != count:
        known = [*in_threads(lambda place: _item(items, place)[1], range(count), count, "reading labels")]
    return [_label(value, place) for place, value in enumerate(known)]


def _label(value: Any, place: int) -> int | str:
    if isinstance(value, str):
        return value
    try:
        number = value.item() if hasattr(value, "item") else value
        whole = int(number)
        fits = whole == number
    except (TypeError, ValueError, RuntimeError):
        fits = False
    if not fits:
        raise DataError(f"expected a whole number or a name as label of item {place}, got {value!r:.60}: correct it")
    return whole


def _picture(image: Any, place: int) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, Tensor):
        pixels = image.cpu().numpy()
        pixels = np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels
    else:
        pixels = np.asarray(image)
    if pixels.dtype.kind == "f" and pixels.size and pixels.min() >= 0 and pixels.max() <= 1:
        pixels = np.rint(255 * pixels).astype(np.uint8)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise DataError(
            f"expected the image of item {place} to be a picture, or 1, 3 or 4 channels of uint8 or from 0 to 1, got "
            f"{pixels.dtype} {tuple(pixels.shape)}: leave the normalization out of the dataset's transform"
        )
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if channels == 1 and pixels.ndim == 3 else pixels))
