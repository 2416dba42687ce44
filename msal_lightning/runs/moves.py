"""The moves of a round record, done once more."""

from collections.abc import Sequence

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.places import Place
from msal_lightning.io.kill_points import kill_point
from msal_lightning.io.names import name_some
from msal_lightning.runs.records import RoundRecord


def move_as_recorded(data: ActiveDataModule, record: RoundRecord) -> None:
    """Move the images of a recorded round, as the loop did: labeled, held out and skipped ones, and new classes.

    Args:
        data: as it was before the round.
        record: of the round.

    Raises:
        ValueError: the record belongs to other images.
    """
    for labeled, place in record.moves():
        index, label = labeled.tensors()
        data.split.restore(index, label, max(place, 0))
        data.check_paths(index, labeled.path)
        if place == Place.HELD_OUT:
            kill_point("restore held-out labels")
            data.split.hold_out(index)
    if record.skipped:
        data.split.skip(record.skipped.tensor())
    if record.class_names:
        know_classes(data, record.class_names)


def know_classes(data: ActiveDataModule, names: Sequence[str]) -> None:
    """Add the classes that a record has beyond those of the data.

    Raises:
        ValueError: the data begins with other classes.
    """
    known = len(data.class_names)
    if [*data.class_names] != [*names[:known]]:
        raise ValueError(f"the classes are {name_some(data.class_names)} and were {name_some(names)}")
    data.add_classes(names[known:])
