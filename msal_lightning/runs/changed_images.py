"""Whether the images are still those that a run was started with."""

from collections.abc import Sequence
from pathlib import Path

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.fingerprint import (
    FILE,
    PARTS,
    digest_of,
    first_change,
    read_fingerprint,
    take_fingerprint,
)
from msal_lightning.runs.records import RoundRecord


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
