"""The fingerprint of the images: computed when a run starts, compared when it resumes."""

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
    """Compare the images with those of an interrupted run, or compute their fingerprint at the start of a run.

    Args:
        data: data module after ``setup``.
        run: stores the fingerprint.
        labels: source of the labels, which may belong to certain images.
        records: records of the finished rounds.
        note: shows a sentence to the user.

    Returns:
        Digest and number of the images, for the record of round 0; empty for a run of a version that stored none.

    Raises:
        RunError: the images changed.
    """
    started = bool(records) or pending_file(run.path, INITIAL).exists()
    if started and (change := changed_images(data, run.path, records[0] if records else None)):
        raise RunError(
            f"the data changed since run_dir '{run.path}' was started ({change}): restore the former data, give new "
            "images to the run with `add`, or start anew with --overwrite"
        )
    if records:
        return records[0].data or {}
    if not started and (difference := labels.check_images()):
        note(difference)
    prints = take_fingerprint(data)
    run.save_file(FILE, to_bytes(prints))
    return {"digest": digest_of(prints), "train": data.images.shape[0], "test": len(data.test.label)}
