"""Datasets of Hugging Face."""

from pathlib import Path
from typing import Any, Literal

from msal_lightning.data.augmentation import Augmentation
from msal_lightning.data.batches.epoch_batches import LastBatch
from msal_lightning.data.batches.eval_batch_size import EvalBatchSize
from msal_lightning.data.batches.read_only import is_read_only
from msal_lightning.data.class_balance import Sampling
from msal_lightning.data.images.decoding import Fit
from msal_lightning.data.images.hugging_face_rows import LabeledRows, open_saved
from msal_lightning.data.label_files.hugging_face import is_saved_dataset, library
from msal_lightning.datasets.encoded import EncodedDataset, EncodedPart, common
from msal_lightning.errors import DataError


class HFDataset(EncodedDataset):
    """A dataset of Hugging Face, on disk or by name, with the extra `huggingface`; splits train and test.

    Images stay encoded in the dataset's own files. Rows without a label are requested from the oracle.

    Args:
        root: folder that save_to_disk wrote; with name the folder of downloads.
        name: name of a dataset that load_dataset reads or downloads, `beans` for example, or the name of a loader such
            as `imagefolder` or `parquet`; None reads root.
        config: its configuration, if it has several.
        image_column: the column of images; by default the only one.
        label_column: the column of labels; by default the only one of classes, or one named label.
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
        UserError: an option is out of range, or the library datasets is missing.
    """

    def __init__(
        self,
        root: str = "data",
        name: str | None = None,
        config: str | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
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
        self.source_name, self.source_config, self._columns = name, config, (image_column, label_column)
        self._library = library()

    def open_parts(self) -> list[EncodedPart]:
        """Open the dataset; its images stay encoded.

        Raises:
            DataError: it cannot be read, or lacks a column.
        """
        self._rows = LabeledRows(self._library, self._open(), self.source_name or self.root, "data.", *self._columns)
        self.class_names = self._rows.class_names
        assert self.decoding is not None
        images = self._rows.images(self.decoding)
        return [EncodedPart(*pair) for pair in zip(images, self._rows.labels, strict=True)]

    def _open(self) -> Any:
        if self.source_name is None:
            if not is_saved_dataset(Path(self.root)):
                raise DataError(
                    f"expected data.root '{self.root}' to be a folder that save_to_disk wrote, found none: set it, or "
                    "data.name to the name of a dataset"
                )
            return open_saved(self._library, self.root)
        if is_read_only():
            raise DataError(
                f"expected --data.root to say where data.name '{self.source_name}' of another user's run may be kept, "
                "got none: set it to a folder of yours"
            )
        try:
            return self._library.load_dataset(self.source_name, self.source_config, cache_dir=self.root)
        except Exception as error:  # of its many loaders
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"cannot read data.name '{self.source_name}' ({reason:.160}): correct it") from None

    def row_files(self, part: str) -> list[tuple[str, str]]:  # noqa: D102
        return self._rows.files(("train", "test").index(part))
