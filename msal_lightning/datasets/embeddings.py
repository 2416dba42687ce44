"""Features of images instead of the images."""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.epoch_batches import LastBatch
from msal_lightning.data.batches.loading import Batch, ImageSet
from msal_lightning.data.class_balance import Sampling
from msal_lightning.data.features.added_rows import AddedRows, read_added
from msal_lightning.data.features.feature_files import FeatureFile, FeatureRows
from msal_lightning.data.features.feature_folder import list_files, open_files
from msal_lightning.data.features.feature_labels import FeatureLabels, read_labels, with_label_file
from msal_lightning.data.features.feature_statistics import find_statistics
from msal_lightning.data.features.source_images import read_source
from msal_lightning.data.group_split import added_to_test, groups_to_test, hold_out_groups
from msal_lightning.data.groups import number_groups, say_shared_groups
from msal_lightning.data.image_order import ImageOrder, RowOrder
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.images.image_files import ImageFiles
from msal_lightning.data.stratified import hold_out
from msal_lightning.errors import DataError
from msal_lightning.io.wording import counted

_SAMPLE = 10_000  # rows, for a plan
_SHOWN = 224  # pixels of a side


class Embeddings(ActiveDataModule):
    """Your own features, one row of numbers for each image, for example from a pretrained network.

    The folder has the features as ``features.npy``, or in files like ``features-000.npy``, ``features-001.npy``, whose
    rows follow each other; ``.parquet`` (a fixed-size list column ``features``) and ``.h5`` (a dataset ``features``)
    work too. ``labels.npy`` has whole numbers, -1 where unknown; or ``labels.csv`` has the column label, blank where
    unknown, and optionally path (the image behind the row) and split (train or test). Files stay on disk and are read
    when rows are needed.

    Args:
        root: the folder.
        labels: file of further labels, by path of the image, or by index as in a ledger: CSV, COCO JSON, the JSON of
            Label Studio or FiftyOne, or a saved dataset of Hugging Face. The command `labels` writes each of them.
        classes: names of the classes in the order of their numbers; by default the names in labels.csv and labels, or
            the numbers.
        test_root: folder of the test part, with the same files.
        test_fraction: share of each class that is held out as the test part, without test_root and split. Rows without
            labels are never held out.
        test_seed: seed of the test_fraction draw; independent of the run's seed.
        image_root: folder in which the paths of the images begin; by default the folder that ``embed`` read, otherwise
            root.
        standardize: subtract the mean of each feature over the training split, and divide by its standard deviation.
        batch_size: rows per training step, shared by all devices.
        eval_batch_size: rows per step of the test and of the pool pass.
        imbalance: rows of the last class over rows of the first in a long-tailed version.
        batch_size_per_device: apply batch_size to each device.
        last_batch: balanced cuts an epoch into batches of nearly the same size; keep leaves a small last batch.
        validation_fraction: share of the labeled images that a fit leaves out to find its best epoch; 0 trains on all.
        group: rows that belong together (a patient, a camera's site, a burst): a column of labels.csv, or a regular
            expression with one part in parentheses that finds the group in the column path. A group is trained on, or
            validated on, or tested on. Without a test part, test_fraction of the rows, in whole groups, are kept for
            loop.held_out.
        sampling: balanced draws the same number of images of each class in an epoch, so that rare ones repeat.

    Raises:
        DataError: an option is out of range.
    """

    dtypes = (torch.float16, torch.float32)
    order: RowOrder | None = None

    def __init__(
        self,
        root: str,
        labels: str | None = None,
        classes: list[str] | None = None,
        test_root: str | None = None,
        test_fraction: float = 0.2,
        test_seed: int = 0,
        image_root: str | None = None,
        standardize: bool = True,
        batch_size: int = 128,
        eval_batch_size: int = 8192,
        imbalance: float | None = None,
        batch_size_per_device: bool = False,
        last_batch: LastBatch = "balanced",
        validation_fraction: float = 0.0,
        group: str | None = None,
        sampling: Sampling = "uniform",
    ) -> None:
        super().__init__(
            root,
            batch_size,
            eval_batch_size,
            None,
            imbalance,
            batch_size_per_device,
            last_batch,
            validation_fraction,
            sampling,
        )
        if not 0 < test_fraction < 1:
            raise DataError(f"expected data.test_fraction to be between 0 and 1, got {test_fraction}: 0.2 is usual")
        self.label_file, self.classes, self.test_root = labels, classes, test_root
        self.test_fraction, self.test_seed = test_fraction, test_seed
        self.image_root, self.standardize = image_root, standardize
        self.group = group
        self.class_names = ()
        self._paths: list[str] | None = None
        self._added = list[AddedRows]()

    def resume_as(self, resolved: dict[str, Any] | None) -> None:  # noqa: D102
        self.resolved = resolved
        if resolved is not None:
            self.mean, self.std = tuple(resolved["mean"]), tuple(resolved["std"])

    def describe(self) -> str:  # noqa: D102
        count, width, *_ = self.images.shape
        return f"{count:,} rows of {width:,} features in {counted(len(self.row_files('train')), 'file')}"

    def load(self) -> tuple[ImageSet, ImageSet]:
        """Open the files; their rows stay on disk.

        Raises:
            DataError: files are missing, damaged or do not fit each other.
        """
        root = Path(self.root)
        self._groups_of_test = list[str]()
        self._files = {"train": list_files(root, "data.root"), "test": []}
        features = open_files(self._files["train"])
        count = sum(file.shape[0] for file in features)
        self.images_in, self.decoding = read_source(root)
        labels = read_labels(root, count, self.classes, self.group)
        if self.label_file is not None:
            labels = with_label_file(labels, Path(self.label_file), self.image_folder, self.classes)
        self.class_names, self.partly_labeled = labels.names, bool(labels.unknown.any())
        is_test = self._is_test(labels)
        rows = labels.rows(None if is_test is None else ~is_test)
        learn = self._set(features, labels, rows)
        test = self._test_part(features[0]) if is_test is None else self._set(features, labels, labels.rows(is_test))
        if labels.paths is not None:
            self._paths = labels.paths if rows is None else [labels.paths[row] for row in rows.tolist()]
        self._standardize(features, rows)
        learn = learn if self.order is None else self._with_added(learn, features, rows, self.order)
        self._find_groups(labels, rows, None if is_test is None else labels.rows(is_test))
        return learn, test

    def keep_images(self, order: ImageOrder | RowOrder) -> None:  # noqa: D102
        if not isinstance(order, RowOrder):
            super().keep_images(order)
            return
        self.check_may_change()
        self.order = order

    def _with_added(
        self, learn: ImageSet, features: list[FeatureFile], rows: NDArray[np.int64] | None, order: RowOrder
    ) -> ImageSet:
        """Append the rows of the folders that were added to the run."""
        first = len(learn.label)
        files, taken = [*features], [np.arange(first) if rows is None else rows]
        label, names = [learn.label], order.class_names or self.class_names
        offset, self._added = sum(file.shape[0] for file in features), list[AddedRows]()
        for folder, *_ in order.folders:
            added = read_added(
                Path(self.root) / folder, Path(self.root), features[0], names, self.image_folder, self.group
            )
            files += added.files
            taken.append(added.rows + offset)
            label.append(torch.from_numpy(added.label))
            offset += added.size
            self._added.append(added)
            if self._paths is not None:
                self._paths = [*self._paths, *_names_of(added)]
        return ImageSet(FeatureRows(files, np.concatenate(taken)), torch.cat(label))

    def _is_test(self, labels: FeatureLabels) -> NDArray[np.bool_] | None:
        """Which rows are the test part; None if the test part is elsewhere, or there is none."""
        if self.test_root is not None:
            return None
        if labels.is_test is not None:
            if (labels.unknown & labels.is_test).any():
                raise DataError(f"expected labels of all test rows in data.root '{self.root}': add the missing ones")
            return labels.is_test
        if self.partly_labeled:
            return None
        if labels.groups is None:
            return hold_out(labels.label, labels.names, self.test_fraction, self.test_seed)
        rows, is_test = labels.rows(), np.zeros(len(labels.label), dtype=np.bool_)
        kept = slice(None) if rows is None else rows
        groups = number_groups(labels.groups_at(rows))
        is_test[kept] = hold_out_groups(labels.label[kept], groups, self.test_fraction, self.test_seed)
        return is_test

    def _find_groups(
        self, labels: FeatureLabels, rows: NDArray[np.int64] | None, test_rows: NDArray[np.int64] | None
    ) -> None:
        """Number the groups, and keep some for held-out labels if there is no test part."""
        if labels.groups is None:
            return
        first = labels.groups_at(rows)
        names = [*first, *(name for added in self._added for name in added.groups or ())]
        self.groups = torch.from_numpy(number_groups(names))
        tested = self._groups_of_test if test_rows is None else labels.groups_at(test_rows)
        self.group_names = {"train": names, "test": tested}
        say_shared_groups(first, tested)
        if not tested:
            self.test_only = groups_to_test(self.groups, len(first), self.test_fraction, self.test_seed)
        elif self._added:
            self.test_only = added_to_test(names, len(first), tested)

    def _test_part(self, like: FeatureFile) -> ImageSet:
        if self.test_root is None:
            return ImageSet(FeatureRows([like], np.empty(0, dtype=np.int64)), torch.empty(0, dtype=torch.int64))
        self._files["test"] = list_files(Path(self.test_root), "data.test_root")
        features = open_files(self._files["test"], like)
        count, names = sum(file.shape[0] for file in features), [*self.class_names] or None
        labels = read_labels(Path(self.test_root), count, names, self.group)
        if labels.unknown.any():
            raise DataError(f"expected labels of all rows in data.test_root '{self.test_root}': add the missing ones")
        self._groups_of_test = labels.groups_at(labels.rows()) if labels.groups is not None else []
        return self._set(features, labels, labels.rows())

    def _set(self, files: list[FeatureFile], labels: FeatureLabels, rows: NDArray[np.int64] | None) -> ImageSet:
        label = labels.label if rows is None else labels.label[rows]
        return ImageSet(FeatureRows(files, rows), torch.from_numpy(label))

    def _standardize(self, files: list[FeatureFile], rows: NDArray[np.int64] | None) -> None:
        """Set mean and std: those of the recorded run, or of the training split."""
        features = FeatureRows(files, rows)
        width = features.shape[1]
        if not self.standardize:
            self.mean, self.std = (0.0,) * width, (1.0,) * width
            return
        if self.resolved is None:
            sample = None
            if self.only_sample:  # for a plan
                sample = torch.linspace(0, features.shape[0] - 1, min(_SAMPLE, features.shape[0])).long()
                sample = torch.unique(sample)
            mean, std = find_statistics(features, sample)
            self.resolved = {"mean": mean.tolist(), "std": std.tolist()}
        self.mean, self.std = tuple(self.resolved["mean"]), tuple(self.resolved["std"])

    def scale(self, batch: Batch) -> Batch:
        """Standardize features, in float32, on their device."""
        mean, std = self._scale(batch.image.device)
        return batch._replace(image=batch.image.to(torch.float32, copy=True).sub_(mean).div_(std))

    def _scale(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._scales:
            mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
            self._scales[device] = mean.to(device), std.to(device)
        return self._scales[device]

    def pictures(self, index: Tensor) -> Tensor:
        """The images behind the rows; without paths the features themselves, as grey values."""
        files = self.locations(index)
        if files is None:
            return as_grey(self.scale(Batch(index, self.images[index], index)).image)
        return ImageFiles(files, _SHOWN, 3, Decoding(_SHOWN, 3, "letterbox", None, None, (255, 255, 255), True)).load()

    def row_files(self, part: str) -> list[tuple[str, str]]:  # noqa: D102
        added = [file for one in self._added for file in one.paths] if part == "train" else []
        files = [*self._files[part], *added]
        names = [file.relative_to(self.root).as_posix() for file in added]
        names = [*(file.name for file in self._files[part]), *names]
        return [(name, os.path.abspath(file)) for name, file in zip(names, files, strict=True)]  # noqa: PTH100

    def rows_behind(self, part: str) -> Iterable[slice]:  # noqa: D102
        if part == "test" or not self._added:
            return super().rows_behind(part)
        start = self._num_first
        behind = [slice(0, start)] * len(self._files["train"])
        for added in self._added:
            stop = start + len(added.rows)
            behind += [slice(start, stop)] * len(added.paths)
            start = stop
        return behind

    @property
    def image_folder(self) -> Path:
        """Folder in which the paths of the images begin."""
        return (Path(self.image_root) if self.image_root else self.images_in).absolute()

    def paths(self, index: Tensor) -> list[str] | None:  # noqa: D102
        return None if self._paths is None else [self._paths[row] for row in index.tolist()]

    def locations(self, index: Tensor) -> list[Path] | None:  # noqa: D102
        if self._paths is None:
            return None
        found = [self._location(row) for row in index.tolist()]
        for root, path in found:
            if not (root / path).resolve().is_relative_to(root.resolve()):
                raise DataError(
                    f"expected the paths in labels.csv to stay below data.image_root '{root}', got '{path}': correct "
                    "it, or set data.image_root to a folder that has all images"
                )
        return [root / path for root, path in found]

    @property
    def _num_first(self) -> int:
        """Number of training rows that the run began with."""
        return self.order.late.start if self.order else len(self.hidden_labels.known)

    def _location(self, row: int) -> tuple[Path, str]:
        """Return the folder of an image, and its path in it."""
        assert self._paths is not None
        late = row - self._num_first
        for added in self._added:
            if 0 <= late < len(added.rows) and added.images is not None:
                return added.source, added.images[late]
            late -= len(added.rows)
        return self.image_folder, self._paths[row]


def _names_of(added: AddedRows) -> list[str]:
    if added.names is None:
        raise DataError(
            f"expected a column path in '{added.paths[0].parent / 'labels.csv'}', as in that of data.root: add it"
        )
    return added.names


def as_grey(features: Tensor) -> Tensor:
    """Show features as grey values, black at -2 standard deviations and white at 2: (N, D, 1, 1) to (N, 1, H, W)."""
    count, width = features.shape[:2]
    side = math.ceil(math.sqrt(width))
    grey = ((features.flatten(1) + 2) * (255 / 4)).clamp(0, 255).to(torch.uint8)
    return F.pad(grey, (0, side * side - width)).view(count, 1, side, side)
