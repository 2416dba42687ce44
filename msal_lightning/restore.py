"""The split as the records of a run have it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.files import name_some
from msal_lightning.data.fingerprint import FILE, PARTS, digest_of, first_change, read_fingerprint, take_fingerprint
from msal_lightning.errors import UserError
from msal_lightning.io.wording import counted
from msal_lightning.runs import Purchase, RoundRecord


def changed_images(
    data: ActiveDataModule, folder: Path, first: RoundRecord | None, parts: Sequence[str] = PARTS
) -> str | None:
    """What of the images and labels is not as a run had them when it started; None where everything is the same.

    Labels that a person gave, and images that a person skipped or that are tested on, are no part of it.

    Args:
        data: set up.
        folder: the run directory.
        first: the record of round 0; None before it is written. Records of older versions have no digest: the number of
            test images is compared then.
        parts: train, test or both.
    """
    file = folder / FILE
    if first is None or first.data is not None:
        try:
            return first_change(read_fingerprint(file), data, parts)
        except (OSError, ValueError):  # one digest still tells whether, but not where
            same = first is None or not first.data or digest_of(take_fingerprint(data)) == first.data["digest"]
            return None if same else f"'{file}', which tells what changed, is missing or damaged"
    num_test = len(data.test.label)
    if "test" in parts and num_test and not first.held_out and first.num_test not in (None, num_test):
        return f"there were {first.num_test:,} test images and are {num_test:,} now"
    return None


def know_classes(data: ActiveDataModule, names: Sequence[str]) -> None:
    """Add the classes that a record has beyond those of the data.

    Raises:
        ValueError: the data begins with other classes.
    """
    known = len(data.class_names)
    if [*data.class_names] != [*names[:known]]:
        raise ValueError(f"the classes are {name_some(data.class_names)} and were {name_some(names)}")
    data.add_classes(names[known:])


def restore(data: ActiveDataModule, records: list[RoundRecord], seed: int, run: Path) -> None:
    """Move the images of the recorded rounds, as the loop had done.

    Args:
        data: set up; it is reset first.
        records: of all finished rounds.
        seed: of the run.
        run: its directory.

    Raises:
        UserError: the records are of other images.
    """
    data.reset(seed)
    learn = len(data.pool)
    first = records[0].num_labeled + records[0].num_pool if records else learn
    skipped = records[0].skipped if records else None
    if not first <= learn <= first + (len(skipped.index) if skipped else 0):
        raise UserError(
            f"expected {counted(first, 'image')} to learn from, as in the records of run_dir '{run}', got {learn}: "
            "bring the former dataset back, or start anew with --overwrite"
        )
    for record in records:
        held_out = record.held_out or Purchase()
        for purchase, trained_from in ((held_out, 0), (record.initial, 0), (record.bought, record.round + 1)):
            index, label = (torch.tensor(column, dtype=torch.int64) for column in (purchase.index, purchase.label))
            try:
                data.restore(index, label, trained_from)
                data.check_paths(index, purchase.path)
                if purchase is held_out:
                    data.hold_out(index)
                if record.skipped and trained_from:
                    data.skip(torch.tensor(record.skipped.index, dtype=torch.int64))
                if trained_from and record.class_names:
                    know_classes(data, record.class_names)
            except ValueError as error:
                raise UserError(
                    f"the record of round {record.round} in '{run}' does not fit the data ({error}): bring the former "
                    "dataset back, or start anew with --overwrite"
                ) from None
    if records and (pseudo := records[-1].pseudo_labels):
        index, label = (torch.tensor(column, dtype=torch.int64) for column in (pseudo.index, pseudo.label))
        data.set_pseudo_labels(index, label)
