"""The images that a run knows: those of its start, those added since, and those removed."""

from collections.abc import Iterator
from pathlib import Path

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.fingerprint import FILE, Print, read_fingerprint
from msal_lightning.data.image_order import ImageOrder, RowOrder
from msal_lightning.errors import RunError
from msal_lightning.runs.amendments import Add, AddRows, Amendments, Remove, RemoveRows
from msal_lightning.runs.records import RoundRecord


def image_order(folder: Path, amendments: Amendments, first: RoundRecord) -> ImageOrder | None:
    """Return the order of a run's images; None if none was added or removed.

    Args:
        folder: the run directory.
        amendments: of the run.
        first: record of round 0.

    Raises:
        RunError: the list of the images is missing or damaged.
    """
    removed = removed_paths(amendments)
    added = [path for one in amendments.items if isinstance(one.change, Add) for path in one.change.paths]
    if not removed and not added:
        return None
    train, test = paths_at_start(folder)
    return ImageOrder((*train, *added), (*test,), len(train), removed, (*(first.class_names or ()),))


def read_as_recorded(data: ActiveDataModule, folder: Path, amendments: Amendments, first: RoundRecord) -> None:
    """Make a data module read its files as a run did, with the same indices; call it before ``setup``.

    Args:
        data: data module of the run's configuration.
        folder: the run directory.
        amendments: of the run.
        first: record of round 0.

    Raises:
        UserError: the record or the list of the images is damaged, or the data cannot have other images.
    """
    data.resume_as(first.resolved)
    if order := row_order(amendments, first) or image_order(folder, amendments, first):
        data.keep_images(order)


def row_order(amendments: Amendments, first: RoundRecord) -> RowOrder | None:
    """Return the folders of features that were added to a run; None if there are none.

    Args:
        amendments: of the run.
        first: record of round 0.
    """
    added = [one.change for one in amendments.items if isinstance(one.change, AddRows)]
    folders = tuple((change.folder, change.old, change.new) for change in added)
    return RowOrder(folders, tuple(first.class_names or ())) if folders else None


def paths_at_start(folder: Path) -> tuple[list[str], list[str]]:
    """Return the paths of the training and of the test images that a run began with.

    Raises:
        RunError: the list is missing or damaged, or the run's images are no files.
    """
    known = _read_known(folder)
    if not all(image.path for image in known if image.part == "train"):
        raise RunError(f"expected a run on image files, got '{folder}', whose images have no paths")
    train, test = ([image.path for image in known if image.part == part] for part in ("train", "test"))
    return train, test


def has_image_files(folder: Path, first: RoundRecord) -> bool:
    """Return whether each training image that a run began with is a file of its own.

    Args:
        folder: the run directory.
        first: record of round 0.

    Raises:
        RunError: the list of the images is missing or damaged.
    """
    known = [image for image in _read_known(folder) if image.part == "train"]
    return all(image.path for image in known) and (first.data is None or len(known) == first.data["train"])


def known_images(folder: Path, amendments: Amendments) -> Iterator[Print]:
    """Yield the images as the run knows them: training images by index, then test images.

    Raises:
        ValueError: the file is damaged.
        OSError: it cannot be read.
    """
    added = [image for one in amendments.items if isinstance(one.change, Add) for image in one.change.images]
    for image in read_fingerprint(folder / FILE):
        if image.part == "test":
            yield from (Print(*one) for one in added)  # type: ignore[arg-type]
            added = []
        yield image
    yield from (Print(*one) for one in added)  # type: ignore[arg-type]


def _read_known(folder: Path) -> list[Print]:
    try:
        return [*read_fingerprint(folder / FILE)]
    except (OSError, ValueError) as error:
        raise RunError(
            f"cannot read '{folder / FILE}', the list of the run's images ({error}): restore a copy of it"
        ) from None


def removed_paths(amendments: Amendments) -> frozenset[str]:
    """Return the paths of all removed image files, which may be gone."""
    removed = (one.change for one in amendments.items if isinstance(one.change, Remove))
    return frozenset(path for change in removed if not isinstance(change, RemoveRows) for path in change.path)
