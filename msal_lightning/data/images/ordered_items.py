"""Images in the order of a run, whatever lies in the folder by now."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from msal_lightning.data.image_order import ImageOrder
from msal_lightning.data.images.image_items import ImageItem
from msal_lightning.data.images.relative import relative
from msal_lightning.errors import DataError
from msal_lightning.io.names import name_some
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted


def in_order(
    found: Sequence[ImageItem], order: ImageOrder, root: str, has_test: bool, label_of_removed: str | None
) -> list[ImageItem]:
    """Return the images of a run: the training images by index, then the test images.

    Args:
        found: the images that are there.
        order: of the run.
        root: folder in which the paths begin.
        has_test: whether the test images are among them.
        label_of_removed: what stands for the label of a removed image whose file is gone.

    Raises:
        DataError: an image is gone that was not removed.
    """
    there = {relative(str(item.path), root): item for item in found}
    wanted = [*order.train, *(order.test if has_test else ())]
    if missing := [path for path in wanted if path not in there and path not in order.removed]:
        raise DataError(
            f"expected the images of the run below data.root '{root}', found no {name_some(missing)}: bring them back, "
            "or take them out of the run with `remove`"
        )
    if new := len(there.keys() - {*wanted}):
        say(f"({counted(new, 'image')} below data.root '{root}' are not part of the run: `add` takes them in)")
    in_table = any(item.group is not None for item in found)  # a removed image is a group of its own
    items = [
        there.get(path) or ImageItem(Path(root) / path, label_of_removed, group=path if in_table else None)
        for path in wanted
    ]
    return [replace(item, is_test=row >= len(order.train)) for row, item in enumerate(items)]


def in_place_of_removed(items: Sequence[ImageItem], order: ImageOrder | None, root: str) -> Sequence[ImageItem]:
    """Return files to decode: another image stands at the index of a removed one, which is never used.

    Args:
        items: the training images.
        order: of the run; None if no image was removed.
        root: folder in which the paths begin.
    """
    if order is None or not order.removed:
        return items
    gone = [relative(str(item.path), root) in order.removed for item in items]
    some = next(item for item, is_gone in zip(items, gone, strict=True) if not is_gone)
    return [some if is_gone else item for item, is_gone in zip(items, gone, strict=True)]
