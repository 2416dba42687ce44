"""The fingerprint of the images: taken where a run starts, compared where it is resumed."""

from collections.abc import Callable
from typing import Any

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.fingerprint import (
    FILE,
    digest_of,
    take_fingerprint,
    to_bytes,
)
from msal_lightning.errors import RunError
from msal_lightning.loop.label_sources import LabelSource
from msal_lightning.runs.changed_images import changed_images
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.pending import INITIAL, pending_file
from msal_lightning.runs.records import RoundRecord


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
        RunError: the images changed.
    """
    started = bool(records) or pending_file(run.path, INITIAL).exists()
    if started and (change := changed_images(data, run.path, records[0] if records else None)):
        raise RunError(
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
