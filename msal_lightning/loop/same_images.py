"""Whether the images are those that a run was started with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.fingerprint import (
    FILE,
    PARTS,
    digest_of,
    first_change,
    read_fingerprint,
    take_fingerprint,
    to_bytes,
)
from msal_lightning.errors import UserError
from msal_lightning.loop.label_sources import LabelSource
from msal_lightning.oracles.asked import INITIAL, asked_file
from msal_lightning.runs import RoundRecord, RunDirectory


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


def check_images(
    data: ActiveDataModule,
    run: RunDirectory,
    labels: LabelSource,
    records: list[RoundRecord],
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Compare the images with those of an interrupted run, or take their fingerprint at the start of a run.

    Args:
        data: set up.
        run: keeps the fingerprint.
        labels: may belong to certain images.
        records: of the finished rounds.
        note: shows a sentence to the user.

    Returns:
        Digest and numbers of the images, for the record of round 0; nothing for a run of a version that kept none.

    Raises:
        UserError: the images changed.
    """
    started = bool(records) or asked_file(run.path, INITIAL).exists()
    if started and (change := changed_images(data, run.path, records[0] if records else None)):
        raise UserError(
            f"the data are not those that run_dir '{run.path}' was started with ({change}): bring the former "
            "ones back, or start anew with --overwrite"
        )
    if records:
        return records[0].data or {}
    if not started and (difference := labels.check_images()):
        note(difference)
    prints = take_fingerprint(data)
    run.save_file(FILE, to_bytes(prints))
    num_test = len(data.test.label)
    return {"digest": digest_of(prints), "train": len(prints) - num_test, "test": num_test}
