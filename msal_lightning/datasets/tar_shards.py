"""Directories of tar archives."""

import json
import tarfile
from pathlib import Path
from typing import Literal

import torch

from msal_lightning.data.augmentation import Augmentation
from msal_lightning.data.batches.epoch_batches import LastBatch
from msal_lightning.data.batches.eval_batch_size import EvalBatchSize
from msal_lightning.data.class_balance import Sampling
from msal_lightning.data.images.decoding import Fit
from msal_lightning.data.images.tar_images import TarImages, TarSample, index_shards
from msal_lightning.data.label_files.label_table import class_order, number_of_class
from msal_lightning.data.labels import UNKNOWN
from msal_lightning.datasets.encoded import EncodedDataset, EncodedPart, common
from msal_lightning.errors import DataError

_LABELS = ("cls", "txt", "json")


class TarShards(EncodedDataset):
    """A directory of tar archives in the layout of WebDataset: members of one name are an image and its label.

    `0001.jpg` and `0001.cls` (a number), `0001.txt` (a name) or `0001.json` belong together; others are ignored. The
    archives are indexed once for each start, and images are read where they lie, so they must not be compressed.

    Args:
        root: folder of the archives, read in the order of their names, or one archive.
        test_root: the same for the test images; None holds out test_fraction.
        label_member: member with the label: cls, txt or json; by default the first of them that is there.
        label_key: key of the label in a JSON member.
        classes: names of the classes in the order of their numbers; by default those in the archives, or the numbers.
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
        DataError: an option is out of range.
    """

    def __init__(
        self,
        root: str,
        test_root: str | None = None,
        label_member: str | None = None,
        label_key: str = "label",
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
        super().__init__(root, test_fraction, test_seed, size, fit, channels, in_memory, num_workers, **shared)
        self.test_root, self.label_member, self.label_key, self.classes = test_root, label_member, label_key, classes
        self._shards: list[list[Path]] = []

    def open_parts(self) -> list[EncodedPart]:
        """Index the archives; images stay in them.

        Raises:
            DataError: an archive is damaged or compressed, or a label is wrong.
        """
        roots = [("data.root", self.root), *([("data.test_root", self.test_root)] if self.test_root else [])]
        self._shards = [_shards(Path(root), key) for key, root in roots]
        samples = [index_shards(shards, self.label_member or _LABELS) for shards in self._shards]
        labels = [[self._text(one) for one in part] for part in samples]
        self.class_names = self._names([text for part in labels for text in part if text])
        assert self.decoding is not None
        return [
            EncodedPart(TarImages(some, self.decoding), torch.tensor([self._number(t) for t in texts]).long())
            for some, texts in zip(samples, labels, strict=True)
        ]

    def _text(self, sample: TarSample) -> str:
        """Return the label as it stands in the archive; blank if there is none."""
        if sample.label is None:
            return ""
        try:
            text = sample.label.decode()
            if sample.label_name.endswith("json"):
                found = json.loads(text)
                text = str((found[self.label_key] if isinstance(found, dict) else found) if found is not None else "")
        except (UnicodeDecodeError, ValueError, KeyError):
            raise DataError(
                f"expected a label in the member '{sample.name}.{sample.label_name}', got none: set data.label_member "
                "to the member with it, and data.label_key to its key in JSON"
            ) from None
        return text.strip()

    def _names(self, texts: list[str]) -> tuple[str, ...]:
        found = class_order({*texts})
        if self.classes is not None:
            return tuple(self.classes)
        return tuple(map(str, range(max(map(int, found)) + 1))) if all(map(str.isdecimal, found)) and found else found

    def _number(self, text: str) -> int:
        if not text:
            return UNKNOWN
        if text in self.class_names:
            return self.class_names.index(text)
        if number_of_class(text, self.class_names) and int(text) < len(self.class_names):
            return int(text)
        raise DataError(f"expected the labels in '{self.root}' to be among data.classes, got '{text}': add it")

    def row_files(self, part: str) -> list[tuple[str, str]]:  # noqa: D102
        place = ("train", "test").index(part)
        return [(file.name, str(file.absolute())) for some in self._shards[place : place + 1] for file in some]


def _shards(root: Path, key: str) -> list[Path]:
    found = sorted(root.glob("*.tar")) if root.is_dir() else [root] * _is_archive(root)
    if not found:
        packed = [*root.glob("*.tar.*"), *root.glob("*.tgz")] if root.is_dir() else []
        remedy = "unpack them with gunzip" if packed else f"set {key} to their folder"
        raise DataError(f"expected {key} '{root}' to be a folder of tar archives, found none: {remedy}")
    return found


def _is_archive(file: Path) -> bool:
    return file.is_file() and tarfile.is_tarfile(file)
