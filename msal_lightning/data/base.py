"""The data of an active-learning loop: one storage of images, their split, and the loaders of each part."""

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from msal_lightning.data.augmentation import Augmentation, DrawnAugmentation
from msal_lightning.data.batches.device_cache import DeviceCache
from msal_lightning.data.batches.epoch_batches import EpochBatches, LastBatch
from msal_lightning.data.batches.eval_batch_size import EvalBatchSize, check_eval_batch_size, images_per_step
from msal_lightning.data.batches.loading import Batch, ImageSet, ImageStore, IndexedImages, shard
from msal_lightning.data.batches.resident_batches import ResidentBatches
from msal_lightning.data.batches.workers import start_worker
from msal_lightning.data.class_balance import Sampling
from msal_lightning.data.class_change import ClassChange
from msal_lightning.data.group_split import is_validation_group
from msal_lightning.data.image_order import IMBALANCE, ImageOrder, RowOrder
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.data.labels import UNKNOWN, HiddenLabels
from msal_lightning.data.round_context import RoundContext
from msal_lightning.data.split import Split
from msal_lightning.data.validation import check_validation_fraction, is_validation, num_validation
from msal_lightning.errors import DataError
from msal_lightning.seeding import derive_seed, retry_key, stream
from msal_lightning.training.whole_epochs import EpochIndices, Unread, WholeEpochs


class ActiveDataModule(LightningDataModule, ABC):
    """Owns the images and their split, and makes the loaders of its parts.

    A dataset is a subclass with class attributes ``mean``, ``std`` and ``class_names`` and one method, :meth:`load`.
    For the list of datasets it may say, in literals, which ``files`` below the root tell that it is there (any of them)
    and its ``source``.

    The state is in ``split``, see :class:`~msal_lightning.data.split.Split`. Indices are dataset-absolute.

    Args:
        root: folder of the data files; a download goes there.
        batch_size: images per training step, shared by all devices.
        eval_batch_size: images per step of the test and of the pool pass; changes speed and memory, not results. auto
            takes 500 on a CPU and up to 4,000 on a GPU, fewer of large images.
        augmentation: transforms training images; the test set and the pool are never augmented.
        imbalance: images of the last class over images of the first in a long-tailed version (Table 5), with
            exponential decay in between. The run's seed draws the images; the test set stays whole. None uses all
            images.
        batch_size_per_device: apply batch_size to each device, so that more devices take fewer, larger steps.
        last_batch: balanced cuts an epoch into batches of nearly the same size; keep fills all batches but the last, as
            the reference toolkit does. A last batch of a few images spoils BatchNorm's running statistics.
        validation_fraction: share of the labeled images that a fit leaves out to find its best epoch; they are part of
            the budget. 0 trains on all, for all epochs.
        sampling: uniform trains on each labeled image once an epoch; balanced draws the same number of images of each
            class, so that rare ones repeat. The epoch keeps its length.

    Attributes:
        split: place of each image, and all moves between places; available after :meth:`setup`.
        num_workers: processes that read batches; 0 for images in memory.
        verify: how a resumed run recognizes image files: by size and time, or by content.
        context: settings of the current round, see :meth:`enter`.
        class_changes: merges, splits and renames of classes since :meth:`reset`.
        hidden_labels: the labels that came with the images.
        resolved: options that :meth:`load` determined from the files, as plain values for the record of round 0; None
            if there are none.
        order: numbers of the images, if images were added or removed; else None.
        decoding: how image files are read, also for a person; None for a dataset that is not made of files.
        only_sample: :meth:`load` may read a few images and repeat them, for ``fit --plan``.
        groups: (N,) int64, the group of each training image, by ``data.group``; None without groups. :meth:`load` sets
            it, and ``group_names``, the name of each image's group by part, train and test.
        test_only: (N,) bool, training images whose groups are kept for held-out labels, where the data has no test
            set; None without groups. :meth:`load` sets it.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    files: tuple[str, ...] = ()
    source: str = ""
    resolved: dict[str, Any] | None = None
    order: ImageOrder | RowOrder | None = None
    decoding: Decoding | None = None
    only_sample: bool = False
    groups: Tensor | None = None
    group_names: Mapping[str, Sequence[str]] = MappingProxyType({})
    test_only: Tensor | None = None
    dtypes: tuple[torch.dtype, ...] = (torch.uint8,)
    """Types that :meth:`load` may give."""
    partly_labeled: bool = False
    """Some training images may have no label (-1), and there may be no test set."""

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        eval_batch_size: EvalBatchSize = "auto",
        augmentation: Augmentation | None = None,
        imbalance: float | None = None,
        batch_size_per_device: bool = False,
        last_batch: LastBatch = "balanced",
        validation_fraction: float = 0.0,
        sampling: Sampling = "uniform",
    ) -> None:
        super().__init__()
        if imbalance is not None and not 0 < imbalance <= 1:
            raise DataError(
                f"expected data.imbalance to be above 0 and at most 1, got {imbalance}: 0.01 is the paper's"
            )
        if batch_size < 2:  # BatchNorm cannot train on one image
            raise DataError(f"expected data.batch_size to be at least 2, got {batch_size}: 128 is a usual value")
        check_eval_batch_size(eval_batch_size)
        check_validation_fraction(validation_fraction)
        if last_batch not in get_args(LastBatch):
            raise DataError(f"expected data.last_batch to be balanced or keep, got '{last_batch}'")
        if sampling not in get_args(Sampling):
            raise DataError(f"expected data.sampling to be uniform or balanced, got '{sampling}'")
        self.name: str = type(self).__name__
        self.root = root
        self.batch_size = batch_size
        self.batch_size_per_device = batch_size_per_device
        self.last_batch: LastBatch = last_batch
        self.validation_fraction = validation_fraction
        self.sampling: Sampling = sampling
        self.eval_batch_size: EvalBatchSize = eval_batch_size
        self.augmentation = augmentation
        self.imbalance = imbalance
        self.verify: Literal["stat", "content"] = "stat"
        self.num_workers = 0
        self.seed = 0
        self.context = RoundContext()
        self._ready = False
        self._augment: tuple[tuple[int, ...], torch.Generator] | None = None
        self._scales: dict[torch.device, tuple[Tensor, Tensor]] = {}
        self._resident = DeviceCache()
        self.class_changes: tuple[ClassChange, ...] = ()

    @abstractmethod
    def load(self) -> tuple[ImageSet, ImageSet]:
        """Read the dataset.

        Returns:
            The training images, initial set and pool together, and the test set.

        Raises:
            UserError: files are missing or damaged.
        """

    # ---------------------------------------------------------------- reading and starting

    def resume_as(self, resolved: dict[str, Any] | None) -> None:
        """Read the files with the options of a recorded run; call it before :meth:`setup`.

        Args:
            resolved: options in its record of round 0; None in records of older versions.
        """

    def keep_images(self, order: ImageOrder | RowOrder) -> None:
        """Number the images as a run did that images were added to or removed from; call it before :meth:`setup`.

        Raises:
            DataError: the dataset cannot grow, or is of another kind than the run's.
        """
        raise DataError(
            f"expected data ImageFolder or Embeddings in a run with added or removed images, got {self.name}: begin "
            "another run"
        )

    def check_may_change(self) -> None:
        """Check that images may be added or removed.

        Raises:
            DataError: a long-tailed version would draw others.
        """
        if self.imbalance is not None:
            raise DataError(IMBALANCE)

    def describe(self) -> str:
        """Return a line for a person about how images are read; empty if there is nothing to say."""
        return ""

    def setup(self, stage: str | None = None) -> None:
        """Read the images once; Lightning calls this before each fit, test and predict."""
        if self.trainer is not None and not self.validation_fraction:
            self.trainer.limit_val_batches = 0  # it warns about a validation set without images
        if self._ready:
            return
        learn, self.test = self.read()
        self.images = learn.image
        self.hidden_labels = HiddenLabels(learn.label)
        self.split = Split(self.hidden_labels, self.test_only)
        self._at_setup = self.class_names, self.test
        self._ready = True

    def read(self) -> tuple[ImageSet, ImageSet]:
        """Call :meth:`load` and check its result.

        Raises:
            DataError: files are missing or damaged, or shapes, types or labels don't fit.
        """
        learn, test = (part._replace(label=self._integers(part.label)) for part in self.load())
        for images in (learn, test):
            shape = tuple(images.image.shape)
            may_be_empty = self.partly_labeled and images is test
            fits = len(shape) == 4 and shape[1] == self.in_channels and shape[0] == len(images.label)
            fits = fits and (may_be_empty or shape[0] > 0)
            if images.image.dtype not in self.dtypes or not fits:
                types = " or ".join(str(kind).removeprefix("torch.") for kind in self.dtypes)
                raise DataError(
                    f"expected {self.name}.load() to give {types} images (N, {self.in_channels}, H, W) and N labels, "
                    f"got {images.image.dtype} {shape} and {len(images.label)}: correct it, or mean and std"
                )
            if not len(images.label):
                continue
            if not (shape[2] and shape[3]):
                raise DataError(
                    f"expected the images of {self.name} to have pixels, got {shape[2]}×{shape[3]}: replace the files "
                    f"in data.root '{self.root}'"
                )
            low, high = int(images.label.min()), int(images.label.max())
            least = UNKNOWN if self.partly_labeled and images is learn else 0
            if low < least or high >= self.num_classes:
                raise DataError(
                    f"expected the labels of {self.name} to be 0 to {self.num_classes - 1}, got {low} "
                    f"to {high}: check the files in data.root '{self.root}'"
                )
        return learn, test

    def _integers(self, label: Tensor) -> Tensor:
        """Class labels of any integer type as int64."""
        label = torch.as_tensor(label)
        if label.ndim != 1 or label.is_floating_point() or label.is_complex():
            raise DataError(
                f"expected {self.name}.load() to give one whole number a label, (N,) of an integer type, got "
                f"{label.dtype} {tuple(label.shape)}: one-hot labels become that by argmax(1), others by long()"
            )
        return label.long()

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @property
    def in_channels(self) -> int:
        """Colour channels of an image."""
        return len(self.mean)

    @property
    def labels(self) -> Tensor:
        """Known labels, see :attr:`Split.labels`."""
        return self.split.labels

    @property
    def labeled_at(self) -> Tensor:
        """Where each image is, see :attr:`Split.labeled_at`."""
        return self.split.labeled_at

    @property
    def labeled(self) -> Tensor:
        """Indices of the labeled set, ascending."""
        return self.split.labeled

    @property
    def pool(self) -> Tensor:
        """Indices of the pool, ascending."""
        return self.split.pool

    @property
    def in_pool(self) -> Tensor:
        """Whether each image is in the pool, (N,) bool."""
        return self.split.in_pool

    @property
    def num_pool(self) -> int:
        """Number of images in the pool."""
        return int(self.in_pool.sum())

    @property
    def held_out(self) -> Tensor:
        """Indices of the images that were labeled to test on, ascending."""
        return self.split.held_out

    @property
    def num_test(self) -> int:
        """Images that models are tested on: the test set, or what is held out where the data has none."""
        return len(self.test.label) or len(self.held_out)

    @property
    def scored(self) -> Tensor:
        """Indices of the pool that a pool pass goes over, ascending: all, or this round's random ``pool_limit``."""
        pool, number = self.pool, self.num_scored
        if number == len(pool):
            return pool
        drawn = torch.randperm(len(pool), generator=stream(self.seed, "query", self.round, 1))[:number]
        return pool[drawn.sort().values]

    @property
    def num_scored(self) -> int:
        """Number of images that a pool pass goes over."""
        limit = self.context.pool_limit
        return self.num_pool if limit is None else min(limit, self.num_pool)

    def paths(self, index: Tensor) -> list[str] | None:
        """Return the paths of images for the ledger; None for a dataset without image files.

        Args:
            index: (n,) int64, dataset-absolute.
        """
        return None

    def locations(self, index: Tensor) -> list[Path] | None:
        """Absolute paths of images, for showing them to a person; None for a dataset that is not made of files.

        Args:
            index: (n,) int64, dataset-absolute.
        """
        return None

    def image_files(self, part: str) -> list[tuple[str, str]] | None:
        """The files of the train or test images, to tell later whether they changed; None for images in memory.

        Args:
            part: train or test.

        Returns:
            Of each image its path relative to the folder of the part, and its absolute path.
        """
        return None

    def pictures(self, index: Tensor) -> Tensor:
        """Images of the training split as a person can see them.

        Args:
            index: (n,) int64, dataset-absolute.

        Returns:
            (n, C, H, W) uint8.
        """
        return self.images[index]

    def row_files(self, part: str) -> list[tuple[str, str]] | None:
        """The files of the train or test part if each holds many rows; otherwise None.

        Args:
            part: train or test.

        Returns:
            Of each file its name, and its absolute path.
        """
        return None

    def rows_behind(self, part: str) -> Iterable[slice]:
        """The rows whose labels and groups are read with each of :meth:`row_files`; by default all of the part.

        Args:
            part: train or test.
        """
        return itertools.repeat(slice(None))

    def add_classes(self, names: Sequence[str]) -> None:
        """Know classes that a person has named; the next model has them too.

        Args:
            names: in the order of their numbers, which follow those of the classes known so far.
        """
        self.class_names = (*self.class_names, *names)

    def change_classes(self, change: ClassChange) -> None:
        """Merge, split or rename classes in all labels: known, hidden and pseudo-labels, and those of test images.

        Raises:
            ValueError: an image of a split class has no new label. Nothing is changed then.
            IndexError: a label is no former class, or an index is out of range.
        """
        tested = change.of_test(self.test.label)
        if bool((tested < 0).any()):
            raise ValueError(f"{int((tested < 0).sum())} test images of a split class have no new label")
        self.split.change_classes(change)
        self.test = self.test._replace(label=tested)
        self.class_names = change.names
        self.class_changes = (*self.class_changes, change)

    def reset(self, seed: int) -> None:
        """Forget all labels, and restore the classes of the files.

        Args:
            seed: the run's seed; keys every stream of the data from here on.
        """
        self.seed = seed
        self.enter(round=0, attempt=0)
        self.class_names, self.test = self._at_setup
        self.class_changes = ()
        keep = None
        if self.imbalance is not None:
            keep = self.hidden_labels.long_tail(self.imbalance, self.num_classes, stream(seed, "split", 1))
        self.split.reset(keep)
        if self.order:
            self.split.leave_out(torch.tensor(self.order.late, dtype=torch.int64))  # until they are added

    @property
    def round(self) -> int:
        """k, number of the round in progress."""
        return self.context.round

    def enter(self, **changes: Any) -> None:
        """Change what the round in progress decides about the data.

        Args:
            **changes: fields of :class:`RoundContext`.
        """
        self.context = replace(self.context, **changes)

    def draw_initial(self, size: int, order: Tensor | None = None) -> Tensor:
        """Draw and label the initial set: uniformly, from the seed alone.

        Args:
            size: images in the initial set.
            order: (M,) int64, indices in another order, whose first ones are taken instead.

        Returns:
            (size,) int64, the indices drawn.

        Raises:
            ValueError: fewer than one or more than there are, or drawn already.
        """
        order, num_labeled = self.initial_order() if order is None else order, len(self.labeled)
        if not 1 <= size <= len(order) or num_labeled:
            raise ValueError(f"cannot draw {size} of {len(order)} images, {num_labeled} are labeled already")
        initial = order[:size]
        self.label(initial, 0)
        return initial

    def initial_order(self) -> Tensor:
        """Indices of the pool in the order in which the initial set takes them.

        From the seed alone, but for images whose labels came with them, which go first where others have none.
        """
        return self.split.initial_order(stream(self.seed, "split"))

    def test_order(self) -> Tensor:
        """Indices of the images in ``test_only``, in the order in which held-out labels take them; none without any."""
        return self.split.test_order(stream(self.seed, "split", 3))

    # ---------------------------------------------------------------- moves

    def label(self, index: Tensor, trained_from: int | None = None) -> Tensor:
        """Reveal labels that came with the images, and move the images out of the pool.

        Args:
            index: (n,) int64 of images in the pool.
            trained_from: the round from which they are trained on; the next one by default, 0 for the initial set.

        Returns:
            (n,) int64, their labels.

        Raises:
            ValueError: an index twice, out of range, or not in the pool. Nothing is moved then.
        """
        return self.split.label(index, self.round + 1 if trained_from is None else trained_from)

    def check_paths(self, index: Tensor, paths: list[str] | None) -> None:
        """Check that image files are still the recorded ones.

        Args:
            index: (n,) int64.
            paths: path of each image from :meth:`paths`; None if unknown.

        Raises:
            ValueError: one is another file.
        """
        if len(index) and int(index.max()) >= len(self.labeled_at):
            raise ValueError(f"there are {len(self.labeled_at):,} images, and not one of number {int(index.max())}")
        now = self.paths(index)
        if paths is None or now is None or paths == now:
            return
        before, after = next((a, b) for a, b in zip(paths, now, strict=True) if a != b)
        raise ValueError(f"'{after}' is where '{before}' was")

    def digest(self) -> str:
        """Hash number and shape of the images, the split, the known labels and the pseudo-labels."""
        return self._digest(self.split.update_digest)

    def former_digest(self) -> str:
        """The digest by which versions before 2026-11-27 knew their fits."""
        return self._digest(self.split.update_former_digest)

    def _digest(self, of_split: Callable[["hashlib.blake2s"], None]) -> str:
        # a saved fit has another head, even if no labeled image changed its class
        heads = [len(change.names) for change in self.class_changes if not change.keeps_numbers]
        key = (tuple(self.images.shape), self.seed, self.round, *heads)
        digest = hashlib.blake2s(repr(key).encode(), digest_size=8)
        of_split(digest)
        return digest.hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """The split, as tensors and integers, for Lightning's checkpoints."""
        return {**self.split.state_dict(), "round": self.round, "seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the split of a checkpoint.

        Raises:
            ValueError: it belongs to a dataset of another size.
        """
        self.setup()
        self.split.load_state_dict(state_dict)
        self.seed = state_dict["seed"]
        self.enter(round=state_dict["round"])

    # ---------------------------------------------------------------- views and loaders

    def train_dataloader(self) -> DataLoader[Batch]:
        """The labeled set and the pseudo-labels in a new order each epoch, derived from (seed, round, epoch).

        Several processes share each batch, unless ``batch_size_per_device`` gives each of them its own.
        """
        self._augment = None  # each fit starts a new stream
        rank, ranks = self._place
        index, predicted = self._pseudo_labels_to_train()
        labels = self.labels
        if len(index):
            labels = labels.clone()
            labels[index] = predicted.to(labels.dtype)
        seed = derive_seed(self.seed, "shuffle", self.round, *retry_key(self.context.attempt))
        trained = torch.cat([self.labeled[~self._validates], index])
        order = self.epoch_batches(trained, seed, rank, ranks, labels[trained] if self.sampling == "balanced" else None)
        if self.trainer is not None:
            # Lightning makes the iterator of the first resumed epoch before it calls set_epoch (issue 21938)
            order.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        self._trained = self._view(self.images, labels)
        return (
            self._loader(Unread(), WholeEpochs(order))
            if self.context.whole_epochs
            else self._loader(self._trained, order)
        )

    def training_batch(self, index: Tensor) -> Batch:
        """Read, augment and normalize a training batch, on the Trainer's device, as Lightning does it with a loader's.

        Args:
            index: (B,) int64, from a loader with ``whole_epochs``.
        """
        assert self.trainer is not None
        batch = self.on_before_batch_transfer(self._trained[index], 0)
        batch = self.transfer_batch_to_device(batch, self.trainer.strategy.root_device, 0)
        prepared: Batch = self.on_after_batch_transfer(batch, 0)
        return prepared

    def resident_batches(self) -> ResidentBatches | None:
        """The same training batches, made on the Trainer's device alone; None if the images are not there.

        It belongs to one fit. The augmentation has to be a ``DrawnAugmentation``.
        """
        assert self.trainer is not None
        assert self.augmentation is None or isinstance(self.augmentation, DrawnAugmentation)
        image = self._trained.image
        if not isinstance(image, Tensor) or image.device != self.trainer.strategy.root_device:
            return None
        return ResidentBatches(image, self._trained.label, self.augmentation, self._augment_stream, self.scale)

    def epoch_batches(
        self, index: Tensor, seed: int = 0, rank: int = 0, ranks: int = 1, labels: Tensor | None = None
    ) -> EpochBatches:
        """The training batches of one epoch over some images, as :class:`EpochBatches` orders them."""
        how = self.batch_size_per_device, self.last_batch
        return EpochBatches(index, self.batch_size, seed, rank, ranks, *how, labels)

    def _pseudo_labels_to_train(self) -> tuple[Tensor, Tensor]:
        """The pseudo-labels of images whose groups a fit does not validate on."""
        index, predicted = self.split.pseudo_labels
        if self.groups is None or not self.validation_fraction:
            return index, predicted
        trains = ~torch.isin(self.groups[index], self.groups[self.validated])
        return index[trains], predicted[trains]

    @property
    def _validates(self) -> Tensor:
        """Whether each image of the labeled set is left out to validate on, (n,) bool."""
        index = self.labeled
        if not self.validation_fraction:
            return torch.zeros(len(index), dtype=torch.bool)
        split = self.split
        drawn_by = self.validation_fraction, self.seed, index, split.labeled_at[index], split.labels[index]
        return is_validation(*drawn_by) if self.groups is None else is_validation_group(*drawn_by, self.groups[index])

    def num_trained(self, num_labeled: int) -> int:
        """Number of images that a fit with so many labeled images trains on, pseudo-labels aside; with groups about."""
        return num_labeled - num_validation(self.validation_fraction, num_labeled)

    @property
    def validated(self) -> Tensor:
        """Indices of the labeled images that a fit leaves out to validate on, ascending."""
        return self.labeled[self._validates]

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        """The part of the labeled set to validate on, each image on one process only; no loader without one."""
        index = self.validated
        return [self._loader(self._view(self.images, self.labels), self._in_order(index))] if len(index) else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """The whole test set, or all that is held out, each image on one process only."""
        if len(self.test.label):
            return self._loader(self._view(*self.test), self._in_order(torch.arange(len(self.test.label))))
        return self._loader(self._view(self.images, self.labels), self._in_order(self.held_out))

    def predict_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """The pool in ascending order of index, its labels -1; with ``predict_labeled`` the labeled set too."""
        view = self._view(self.images, self.labels)
        part, num_parts = self.context.part
        pool = self._loader(view, self._in_order(self.scored)[part::num_parts])
        return [pool, self._loader(view, self._in_order(self.labeled))] if self.context.predict_labeled else pool

    def batches_of(self, index: Tensor) -> Iterator[Batch]:
        """Yield some training images, normalized and not augmented, on the Trainer's device, outside of its loops.

        Args:
            index: (n,) int64.
        """
        assert self.trainer is not None
        view, device = self._view(self.images, self.labels), self.trainer.strategy.root_device
        for part in torch.split(index, self.images_per_eval_step):
            yield self.scale(self.transfer_batch_to_device(view[part], device, 0))

    def _view(self, image: ImageStore, label: Tensor) -> IndexedImages:
        if self.trainer is None or self.num_workers:  # other processes cannot read this one's part of a GPU
            return IndexedImages(image, label)
        return IndexedImages(self._resident.place(image, self.trainer.strategy.root_device), label)

    def _loader(self, view: Dataset[Any], order: Iterable[Any]) -> DataLoader[Any]:
        # its own generator: making an iterator draws a seed, which must not come from the global stream
        return DataLoader(
            view,
            batch_size=None,
            sampler=order,
            generator=torch.Generator(),
            num_workers=self.num_workers,
            worker_init_fn=start_worker,
            persistent_workers=self.num_workers > 0,
        )

    def _in_order(self, index: Tensor) -> list[Tensor]:
        # a process without a part gets one empty batch: all of them have to run the same phases
        return list(torch.split(shard(index, *self._place), self.images_per_eval_step))

    @property
    def images_per_eval_step(self) -> int:
        """Images of one step of the test and of the pool pass, on the Trainer's device."""
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        return images_per_step(self.eval_batch_size, self.images.shape, device, self.num_workers)

    @property
    def _place(self) -> tuple[int, int]:
        """Rank of this process and number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """On the device: augment (training only), then scale to [0, 1] and normalize."""
        if isinstance(batch, EpochIndices):
            return batch
        image = batch.image
        if self.augmentation is not None and self.trainer is not None and self.trainer.training:
            image = self.augmentation(image, self._augment_stream())
        return self.scale(batch._replace(image=image))

    def scale(self, batch: Batch) -> Batch:
        """Scale uint8 images to [0, 1] and normalize them, on their device."""
        mean, std = self._scale(batch.image.device)
        return batch._replace(image=(batch.image - mean).div_(std))

    def _scale(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of uint8 values on the device; copying them in each step would be slow."""
        if device not in self._scales:
            mean, std = (torch.tensor(values).view(-1, 1, 1) * 255 for values in (self.mean, self.std))
            self._scales[device] = mean.to(device), std.to(device)
        return self._scales[device]

    def _augment_stream(self) -> torch.Generator:
        assert self.trainer is not None
        key = (self.round, self.trainer.current_epoch, self.trainer.global_rank, *retry_key(self.context.attempt))
        if self._augment is None or self._augment[0] != key:
            self._augment = key, stream(self.seed, "augment", *key)
        return self._augment[1]
