"""Your own images."""

import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from msal_lightning.data.augmentation import Augmentation
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.epoch_batches import LastBatch
from msal_lightning.data.batches.eval_batch_size import EvalBatchSize
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.data.batches.memory import workers_to_decode
from msal_lightning.data.class_balance import Sampling
from msal_lightning.data.group_split import added_to_test, groups_to_test, hold_out_groups
from msal_lightning.data.groups import group_names, number_groups, say_shared_groups
from msal_lightning.data.image_order import ImageOrder, RowOrder
from msal_lightning.data.images.decoding import ANY, WHITE, Decoding, Fit, Range
from msal_lightning.data.images.image_files import ImageFiles, Repeated, name_some
from msal_lightning.data.images.image_items import (
    ImageItem,
    LabelFile,
    list_all_images,
    list_class_folders,
    list_labeled,
    without_skipped,
)
from msal_lightning.data.images.listing import identity
from msal_lightning.data.images.ordered_items import in_order, in_place_of_removed
from msal_lightning.data.images.relative import relative
from msal_lightning.data.images.value_range import (
    FORMER_RANGES,
    SAMPLE,
    count_animated,
    count_bands,
    draw_sample,
    look_at,
    range_of,
    say_ranges,
    share_outside,
)
from msal_lightning.data.label_files.label_table import class_order, refuse_class_numbers
from msal_lightning.data.labels import UNKNOWN
from msal_lightning.data.stratified import hold_out
from msal_lightning.errors import DataError
from msal_lightning.io.terminal import say

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_GREY = ((0.5,), (0.25,))


class ImageFolder(ActiveDataModule):
    """Your own images: a sub-folder for each class, or a file of labels, CSV for example; or without labels.

    Files that are not images, and names that begin with a dot, are left out. Images of any size, grey images, and
    images with transparency or a palette are converted.

    Args:
        root: folder with a sub-folder for each class, or the folder in which the paths of the CSV file begin.
        csv: file with the columns path and label, and optionally split with train or test; its lines are the order
            of the indices. None uses the sub-folders of root.
        labels: file of labels instead of csv: CSV, COCO JSON, the JSON of Label Studio or FiftyOne, or a saved dataset
            of Hugging Face. The command `labels` writes each of them.
        unlabeled: use all images below root as training images, in any folders; csv or labels has the known labels,
            and the oracle requests the others.
        classes: names of the classes, with unlabeled; by default the classes in csv or labels, and test_root.
        test_root: folder of the test set, a sub-folder for each class.
        test_fraction: share of each class that is held out as the test set, without test_root and split.
        test_seed: seed of the test_fraction draw; independent of the run's seed, so that all runs use the same test
            images.
        size: pixels of a side.
        fit: how an image becomes a square. crop scales the shorter side to size and cuts out the center; letterbox
            scales the longer side and fills the rest with background; squash scales both sides.
        background: one value for each channel, 0 to 255, of what is behind transparent pixels and beside a letterboxed
            image. By default transparent pixels are on white, and a letterboxed image on the color of mean.
        channels: 3 for RGB, 1 for grey; ignored if bands are given.
        bands: numbers of the samples that become channels, from 1; all uses those of the first file. None reads grey
            or RGB, and refuses files with other bands.
        value_range: values that become black and white in files with more than 8 bits; auto uses the range of the
            type if the values fill it, otherwise the range of a sample. 8-bit files are read unchanged.
        mean: mean of each channel, 0 to 1. Defaults: ImageNet's for RGB, 0.5 for grey, and for other numbers of bands
            the mean of a sample of the training split.
        std: standard deviation of each channel. Defaults: ImageNet's for RGB, 0.25 for grey, otherwise that of the
            sample.
        in_memory: true decodes all images once; false decodes them when they are needed; auto keeps them in memory if
            they take less than half of the free memory.
        num_workers: number of processes that decode from disk; by default one per CPU, at most 8.
        on_error: for images that cannot be read: raise an error, or skip them. To find them, skip decodes every
            image before the run.
        batch_size: images per training step, shared by all devices.
        eval_batch_size: images per step of the test and of the pool pass; auto suits the device.
        augmentation: transforms training images.
        imbalance: images of the last class over images of the first in a long-tailed version.
        batch_size_per_device: apply batch_size to each device.
        last_batch: balanced cuts an epoch into batches of nearly the same size; keep leaves a small last batch.
        verify: how a resumed run detects changed images. stat compares size and time of the files, and pieces of their
            content if the time differs; content compares all of their content.
        allow_outside: allow paths in the file of labels that lead out of root: by ``..``, links, or absolute paths.
        validation_fraction: share of the labeled images that a fit leaves out to find its best epoch; 0 trains on all.
        group: images that belong together (a patient, a camera's site, a burst): a column of csv or labels, or a
            regular expression with one part in parentheses that finds the group in a path below root, such as
            ``^[^/]+/(site[0-9]+)``. A group is trained on, or validated on, or tested on. Without a test set,
            test_fraction of the images, in whole groups, are kept for loop.held_out.
        sampling: balanced draws the same number of images of each class in an epoch, so that rare ones repeat.

    Raises:
        DataError: an option is out of range.
    """

    order: ImageOrder | None = None

    def __init__(
        self,
        root: str,
        csv: str | None = None,
        labels: str | None = None,
        unlabeled: bool = False,
        classes: list[str] | None = None,
        test_root: str | None = None,
        test_fraction: float = 0.2,
        test_seed: int = 0,
        size: int = 224,
        fit: Fit = "crop",
        background: list[int] | None = None,
        channels: Literal[1, 3] = 3,
        bands: list[int] | Literal["all"] | None = None,
        value_range: tuple[float, float] | Literal["auto"] = "auto",
        mean: list[float] | None = None,
        std: list[float] | None = None,
        in_memory: bool | Literal["auto"] = "auto",
        num_workers: int | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        batch_size: int = 128,
        eval_batch_size: EvalBatchSize = "auto",
        augmentation: Augmentation | None = None,
        imbalance: float | None = None,
        batch_size_per_device: bool = False,
        last_batch: LastBatch = "balanced",
        verify: Literal["stat", "content"] = "stat",
        allow_outside: bool = False,
        validation_fraction: float = 0.0,
        group: str | None = None,
        sampling: Sampling = "uniform",
    ) -> None:
        super().__init__(
            root,
            batch_size,
            eval_batch_size,
            augmentation,
            imbalance,
            batch_size_per_device,
            last_batch,
            validation_fraction,
            sampling,
        )
        _check_numbers(test_fraction, size, num_workers)
        _check_values(bands, value_range, background)
        _check_classes(classes, unlabeled)
        if csv is not None and labels is not None:
            raise DataError(f"expected data.csv or data.labels, got '{csv}' and '{labels}': leave one of them out")
        self.fit, self.bands, self.value_range = fit, bands, value_range
        self.size, self.channels = size, channels if bands is None else 0 if bands == "all" else len(bands)
        self.background, self._ignores_transparency = background, False
        self._given = mean, std
        if bands != "all":
            self._normalize()
        self.csv, self.test_root, self.verify = csv, test_root, verify
        self.group = group
        named = ("data.labels", labels) if labels else ("data.csv", csv)
        self.label_file = LabelFile(named[0], named[1], group) if named[1] else None
        self.allow_outside = allow_outside
        self.partly_labeled, self.classes = unlabeled, classes
        self.test_fraction, self.test_seed = test_fraction, test_seed
        self.memory, self.workers, self.on_error = in_memory, num_workers, on_error
        self.class_names = ()
        self._former = False
        self._num_sampled: int | None = None
        self._num_files = 0

    @property
    def in_channels(self) -> int:
        """Channels of an image: grey, RGB or bands."""
        return self.channels

    def _normalize(self, found: tuple[list[float], list[float]] | None = None) -> None:
        """Set mean and std: given values first, then the usual ones, then those that were found."""
        usual = {1: _GREY, 3: _IMAGENET}.get(self.channels) or found or ((0.0,) * self.channels, (1.0,) * self.channels)
        self.mean, self.std = (tuple(given or other) for given, other in zip(self._given, usual, strict=True))
        background = self.background or (0,) * self.channels
        for key, values in (("mean", self.mean), ("std", self.std), ("background", background)):
            if len(values) != self.channels:
                raise DataError(
                    f"expected data.{key} to have {self.channels} values, one per channel, got {list(values)}: "
                    "correct it"
                )
        if min(self.std) <= 0:
            raise DataError(f"expected data.std to be above 0, got {list(self.std)}: it divides the images")
        self._scales.clear()

    def resume_as(self, resolved: dict[str, Any] | None) -> None:  # noqa: D102
        self._former, self.resolved = resolved is None, resolved
        self._ignores_transparency = "transparency" not in (resolved or {})
        if resolved is None:
            self._normalize()
            self._decide_decoding(FORMER_RANGES)
            return
        try:
            ranges = {str(kind): (float(low), float(high)) for kind, (low, high) in resolved["value_range"].items()}
            if "bands" in resolved:
                self.bands = [int(band) for band in resolved["bands"]]
                self.channels = len(self.bands)
            self._normalize((resolved["mean"], resolved["std"]) if "mean" in resolved else None)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError(
                "expected the record of round 0 to tell how images are read, got a damaged one: delete the records, "
                "and the run starts anew"
            ) from None
        self._decide_decoding(ranges)

    def describe(self) -> str:  # noqa: D102
        ranges = dict(self.decoding.ranges or {}) if self.decoding and not self._former else {}
        parts = [say_ranges(ranges, self._num_sampled, self._num_files)] if ranges else []
        if self.bands is not None:
            shown = [
                f"{number} (mean {m:.3g}, std {s:.3g})"
                for number, m, s in zip(self.bands, self.mean, self.std, strict=True)
            ]
            parts.append(f"bands {', '.join(shown)}")
        if self.fit != "crop":
            parts.append(f"fit {self.fit}")
        return "; ".join(parts)

    def load(self) -> tuple[ImageSet, ImageSet]:
        """List the files, then decode them or leave them on disk.

        Raises:
            DataError: the folder, the CSV file or an image is wrong.
        """
        where = self._where
        found, test_listed = self.list_files()
        if self.label_file is not None:
            known = self.classes or sorted({item.label or "" for item in test_listed or ()})
            refuse_class_numbers((item.label or "" for item in found), known, where)
        if self.order:
            any_label = None if self.partly_labeled else self.order.class_names[0]
            found = in_order(found, self.order, self.root, self.test_root is None, any_label)
        self._find_decoding([str(item.path) for item in (*found, *(test_listed or ()))])
        if self.on_error == "skip":
            found = self._without_unreadable(found)
        learn, test = [item for item in found if not item.is_test], [item for item in found if item.is_test]
        if not self.partly_labeled:
            self.class_names = tuple(self.order.class_names) if self.order else _class_names(learn, where)
        if test_listed is not None:
            where = f"data.test_root '{self.test_root}'"
            test = self._without_unreadable(test_listed) if self.on_error == "skip" else test_listed
        elif not test and not self.partly_labeled and not self.order:
            learn, test = self._hold_out(learn)
        if self.partly_labeled:
            self.class_names = self._named_classes([*learn, *test])
        elif not test:
            raise DataError(f"expected test images in {where}, found none: add some, or leave data.test_root out")
        if unknown := sorted({item.label or "" for item in test} - set(self.class_names)):
            raise DataError(
                f"expected the test classes in {where} to be among the training classes, got {name_some(unknown)} too: "
                "rename or leave them out"
            )
        self._paths = [str(item.path) for item in learn]
        self._test_paths = [str(item.path) for item in test]
        self._find_groups(learn, test)
        self._find_statistics()
        assert self.decoding is not None
        shown = in_place_of_removed(learn, self.order, self.root)
        files = [ImageFiles([i.path for i in part], self.size, self.channels, self.decoding) for part in (shown, test)]
        labels = [self._labels_of(part) for part in (learn, test)]
        if self._decide(sum(part.num_bytes for part in files)):
            loaded = [ImageSet(self._read(part), label) for part, label in zip(files, labels, strict=True)]
            return loaded[0], loaded[1]
        return ImageSet(files[0], labels[0]), ImageSet(files[1], labels[1])

    @property
    def _where(self) -> str:
        return f"data.root '{self.root}'" if self.label_file is None else str(self.label_file)

    def keep_images(self, order: ImageOrder | RowOrder) -> None:  # noqa: D102
        if not isinstance(order, ImageOrder):
            super().keep_images(order)
            return
        self.check_may_change()
        self.order = order

    def list_files(self) -> tuple[list[ImageItem], list[ImageItem] | None]:
        """List the files that are there now.

        Returns:
            Training images, and test images that are listed with them; and the images in test_root, if it is given.

        Raises:
            DataError: a folder or the CSV file is wrong.
        """
        found = self._find_images()
        if self.test_root is None:
            return found, None
        tested = list_class_folders(Path(self.test_root), f"data.test_root '{self.test_root}'", self._former)
        return self._apart(found, tested), tested

    def _find_images(self) -> list[ImageItem]:
        """Return all images of data.root, or those in the file of labels."""
        root, labels = Path(self.root), self.label_file
        if self.partly_labeled:
            return list_all_images(root, labels, self.test_root, self._former)
        if labels is None:
            return list_class_folders(root, self._where, self._former)
        return without_skipped(list_labeled(labels, root, allow_outside=self.allow_outside), labels)

    def _read(self, files: ImageFiles) -> Tensor | Repeated:
        """Read all images; for a plan, only a few of them."""
        if not self.only_sample or len(files.paths) <= SAMPLE:
            return files.load()
        few = draw_sample(files.paths)[:SAMPLE]
        start = time.perf_counter()
        images = ImageFiles([Path(path) for path in few], self.size, self.channels, self.decoding).load()
        seconds = (time.perf_counter() - start) * len(files.paths) / len(few)
        say(f"reading {len(files.paths):,} images would take about {seconds:.0f} s ({len(few)} of them were read)")
        return Repeated(images, len(files.paths))

    def _find_decoding(self, paths: list[str]) -> None:
        """Find bands and value range in a sample of the files, unless a recorded run has them."""
        if self.decoding is not None:
            return
        sample = draw_sample(paths)
        self._num_sampled, self._num_files = len(sample), len(paths)
        if self.bands == "all":
            self.bands = [*range(1, count_bands(sample) + 1)]
            self.channels = len(self.bands)
            self._normalize()
        found = look_at(sample, self.bands)
        ranges = {name: range_of(files) for name, files in found.items()}
        if self.value_range != "auto":
            if not ranges:
                raise DataError(
                    "expected files with more than 8 bits per channel for data.value_range, found none: leave it out, "
                    "because 8-bit files are read unchanged"
                )
            ranges, self._num_sampled = {ANY: self.value_range}, None
            if outside := share_outside(found, self.value_range):
                say(f"{outside:.2%} of the values of a sample lie outside data.value_range and are cut off")
        if self.bands is None and (count := count_animated(sample)):
            say(f"{count} of {len(sample)} images have several frames or pages: the first one is read")
        self._decide_decoding(ranges)

    def _decide_decoding(self, ranges: dict[str, Range]) -> None:
        bands = tuple(self.bands) if isinstance(self.bands, list) else None
        padding = tuple(self.background or [round(255 * value) for value in self.mean])
        self.decoding = Decoding(
            self.size, self.channels, self.fit, bands, ranges, padding, not self._former, self._behind
        )

    @property
    def _behind(self) -> tuple[int, ...] | None:
        """Red, green and blue behind transparent pixels; None for a run from before they were blended."""
        if self._ignores_transparency:
            return None
        given = self.background or WHITE
        return tuple(given * 3 if len(given) == 1 else given)[:3]

    def _find_statistics(self) -> None:
        """Find mean and std of bands in a sample of the training split, and set the values for the record."""
        assert self.decoding is not None
        ranges = dict(self.decoding.ranges or {})
        if self.bands is not None and self.resolved is None and None in self._given and self.channels not in (1, 3):
            sample = [Path(path) for path in draw_sample(self._paths)]
            squashed = replace(self.decoding, fit="squash")  # so that no padding counts
            images = ImageFiles(sample, self.size, self.channels, squashed).load().double() / 255
            std, mean = torch.std_mean(images, dim=(0, 2, 3), correction=0)
            self._normalize((_rounded(mean), _rounded(std.clamp(min=1 / 255))))
            self._decide_decoding(ranges)
        if self.resolved is None and not self._former:
            self.resolved = {"value_range": {name: [*values] for name, values in ranges.items()}}
            if not self._ignores_transparency:
                self.resolved["transparency"] = "background"
            if self.bands is not None:
                self.resolved |= {"bands": self.bands, "mean": [*self.mean], "std": [*self.std]}

    def paths(self, index: Tensor) -> list[str]:  # noqa: D102
        return [relative(self._paths[row], self.root) for row in index.tolist()]

    def image_files(self, part: str) -> list[tuple[str, str]]:  # noqa: D102
        paths = self._paths if part == "train" else self._test_paths
        root = self.root if part == "train" or self.test_root is None else self.test_root
        return [(relative(path, root), os.path.abspath(path)) for path in paths]  # noqa: PTH100 - a million of them

    def locations(self, index: Tensor) -> list[Path]:  # noqa: D102
        return [Path(self._paths[row]).absolute() for row in index.tolist()]

    def _named_classes(self, items: list[ImageItem]) -> tuple[str, ...]:
        named = {item.label for item in items if item.label is not None}
        if self.classes is None:
            return class_order(named)
        if unknown := sorted(named - {*self.classes}):
            key = self.label_file.key if self.label_file else "data.csv"
            raise DataError(
                f"expected the labels in {key} and data.test_root to be among data.classes, got {name_some(unknown)} "
                "too: add them, or correct the labels"
            )
        return tuple(self.classes)

    def _hold_out(self, items: list[ImageItem]) -> tuple[list[ImageItem], list[ImageItem]]:
        labels = self._labels_of(items).numpy()
        if self.group is None:
            is_test = hold_out(labels, self.class_names, self.test_fraction, self.test_seed, "images")
        else:
            groups = number_groups(self.names_of_groups(items, self.root))
            is_test = hold_out_groups(labels, groups, self.test_fraction, self.test_seed)
        pairs = list(zip(items, is_test.tolist(), strict=True))
        return [item for item, held in pairs if not held], [item for item, held in pairs if held]

    def names_of_groups(self, items: list[ImageItem], root: str) -> list[str]:
        """Return the name of the group of each image.

        Args:
            items: the images.
            root: folder in which their paths begin.
        """
        assert self.group is not None
        paths = [relative(str(item.path), root) for item in items]
        return group_names(self.group, paths, [item.group for item in items])

    def _find_groups(self, learn: list[ImageItem], test: list[ImageItem]) -> None:
        """Number the groups, and keep some for held-out labels if there is no test set."""
        if self.group is None:
            return
        names = self.names_of_groups(learn, self.root)
        tested = self.names_of_groups(test, self.test_root or self.root) if test else []
        self.groups, self.group_names = torch.from_numpy(number_groups(names)), {"train": names, "test": tested}
        say_shared_groups(names[: self.order.num_first] if self.order else names, tested)
        first = self.order.num_first if self.order else len(names)
        if not test:
            self.test_only = groups_to_test(self.groups, first, self.test_fraction, self.test_seed)
        elif first < len(names):  # added images of the groups that models are tested on
            self.test_only = added_to_test(names, first, tested)

    def _apart(self, learn: list[ImageItem], test: list[ImageItem]) -> list[ImageItem]:
        """Remove test images from the training images; a folder without labels may contain both."""
        tested = {identity(item.path) for item in test}
        is_tested = [identity(item.path) in tested for item in learn]
        both = [item for item, is_both in zip(learn, is_tested, strict=True) if is_both]
        if both and (not self.partly_labeled or len(both) == len(learn)):
            raise DataError(
                f"expected no training images in data.test_root '{self.test_root}', got {len(both)} that "
                f"are in both ({name_some([str(item.path) for item in both])}): remove them from one of the two"
            )
        if both:
            say(
                f"{len(both)} of the images below data.root '{self.root}' are in data.test_root: models only test on "
                "them"
            )
        return [item for item, is_both in zip(learn, is_tested, strict=True) if not is_both]

    def _without_unreadable(self, items: list[ImageItem]) -> list[ImageItem]:
        if self.only_sample:
            say("(a plan does not look for images that cannot be read)")
            return items
        paths = [item.path for item in items]
        readable = ImageFiles(paths, self.size, self.channels, self.decoding).readable().tolist()
        bad = [str(item.path) for item, fine in zip(items, readable, strict=True) if not fine]
        kept = [item for item, fine in zip(items, readable, strict=True) if fine]
        if bad:
            say(f"{len(bad)} of {len(items)} images cannot be read and are left out: {name_some(bad)}")
        if lost := sorted({item.label or "" for item in items} - {item.label or "" for item in kept} - {""}):
            raise DataError(
                f"found no image of {name_some(lost)} that can be read: replace the images, or leave the classes out"
            )
        return kept

    def _labels_of(self, items: list[ImageItem]) -> Tensor:
        number: dict[str | None, int] = {name: c for c, name in enumerate(self.class_names)}
        number[None] = UNKNOWN
        return torch.tensor([number[item.label] for item in items], dtype=torch.int64)

    def _decide(self, num_bytes: int) -> bool:
        workers = workers_to_decode(self.memory, self.workers, num_bytes)
        self.num_workers = workers or 0
        return workers is None


def _check_numbers(test_fraction: float, size: int, num_workers: int | None) -> None:
    if not 0 < test_fraction < 1:
        raise DataError(f"expected data.test_fraction to be between 0 and 1, got {test_fraction}: 0.2 is usual")
    if size < 1:
        raise DataError(f"expected data.size to be at least 1 pixel, got {size}: 224 is usual")
    if num_workers is not None and num_workers < 0:
        raise DataError(f"expected data.num_workers to be at least 0, got {num_workers}: leave it out for one per CPU")


def _check_values(
    bands: list[int] | Literal["all"] | None,
    value_range: tuple[float, float] | Literal["auto"],
    background: list[int] | None,
) -> None:
    if background is not None and not all(0 <= value <= 255 for value in background):
        raise DataError(
            f"expected data.background to be values from 0 to 255, got {background}: [255, 255, 255] is white"
        )
    if isinstance(bands, list) and (not bands or min(bands) < 1 or len({*bands}) < len(bands)):
        raise DataError(f"expected data.bands to be different numbers from 1, got {bands}: the first band is 1")
    if value_range != "auto" and not -math.inf < value_range[0] < value_range[1] < math.inf:
        raise DataError(
            f"expected data.value_range to be auto, or the lowest and the highest value, got {list(value_range)}: "
            "[0, 4095] is the range of 12 bits"
        )


def _check_classes(classes: list[str] | None, unlabeled: bool) -> None:
    if classes is not None and not unlabeled:
        raise DataError("expected data.classes only with data.unlabeled: without it, labels name the classes")
    if classes is not None and (len({*classes}) < len(classes) or not all(name.strip() for name in classes)):
        raise DataError(f"expected different names in data.classes, got {classes}: correct them")


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]


def _class_names(items: list[ImageItem], where: str) -> tuple[str, ...]:
    names = class_order({item.label for item in items if item.label is not None})
    if len(names) < 2:
        raise DataError(
            f"expected at least two classes to train on in {where}, got {len(names)}: a classifier needs two"
        )
    return names
