"""Repeat the moves of round records."""

from collections.abc import Sequence

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.places import Place
from msal_lightning.io.kill_points import kill_point
from msal_lightning.io.names import name_some
from msal_lightning.runs.amendments import Amendments
from msal_lightning.runs.reading import Run
from msal_lightning.runs.records import LabeledImages, RoundRecord


def repeat_round(data: ActiveDataModule, record: RoundRecord, amendments: Amendments) -> None:
    """Repeat a recorded round: the changes that came before its fit and its query, then its moves.

    Args:
        data: data module in the state before the round.
        record: record of the round.
        amendments: the changes that a person made to the run.

    Raises:
        ValueError: the record belongs to other images.
    """
    *trained, queried = record.moves()
    amendments.before_fit(data, record.round)
    for labeled, place in trained:
        _move(data, labeled, place)
    amendments.before_query(data, record.round)
    _move(data, *queried)
    _leave_out(data, record, amendments)


def repeat_all(data: ActiveDataModule, run: Run, records: Sequence[RoundRecord]) -> None:
    """Repeat recorded rounds, and the changes that came after them.

    Args:
        data: data module of the run after ``setup``; it is reset first.
        run: the run.
        records: its first records, or all.

    Raises:
        ValueError: a record belongs to other images.
    """
    data.reset(int(run.config.get("seed", 0)))
    for record in records:
        repeat_round(data, record, run.amendments)
    run.amendments.before_fit(data, len(records))
    if len(records) == len(run.records):  # where labels are requested, the model of the next round is trained already
        run.amendments.before_fit(data, len(records) + 1)


def move_as_recorded(data: ActiveDataModule, record: RoundRecord) -> None:
    """Move the labeled, held-out and skipped images of a recorded round as the loop did, and add new classes.

    Args:
        data: data module in the state before the round.
        record: record of the round.

    Raises:
        ValueError: the record belongs to other images.
    """
    for labeled, place in record.moves():
        _move(data, labeled, place)
    _leave_out(data, record, Amendments())


def _move(data: ActiveDataModule, labeled: LabeledImages, place: int) -> None:
    index, label = labeled.tensors()
    data.split.restore(index, label, max(place, 0))
    data.check_paths(index, labeled.path)
    if place == Place.HELD_OUT:
        kill_point("restore held-out labels")
        data.split.hold_out(index)


def _leave_out(data: ActiveDataModule, record: RoundRecord, amendments: Amendments) -> None:
    """Skip images, and know the classes that came with the round."""
    if record.skipped:
        data.split.skip(record.skipped.tensor())
    if record.class_names:
        know_classes(data, amendments.names_after_query(record.class_names, record.round))


def know_classes(data: ActiveDataModule, names: Sequence[str]) -> None:
    """Add the classes that a record has and the data lacks.

    Raises:
        ValueError: the classes of the data are not the first classes of the record.
    """
    known = len(data.class_names)
    if [*data.class_names] != [*names[:known]]:
        raise ValueError(f"the classes were {name_some(names)} and are {name_some(data.class_names)} now")
    data.add_classes(names[known:])
