"""Compare the images with those at the start of a run."""

from collections.abc import Sequence
from pathlib import Path

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.fingerprint import (
    FILE,
    PARTS,
    digest_of,
    first_change,
    take_fingerprint,
)
from msal_lightning.runs.amendments import read_amendments
from msal_lightning.runs.image_order import known_images, removed_paths
from msal_lightning.runs.records import RoundRecord


def changed_images(
    data: ActiveDataModule, folder: Path, first: RoundRecord | None, parts: Sequence[str] = PARTS
) -> str | None:
    """Return the first difference from the images and labels at the start of a run; None if there is none.

    Labels from annotators, skipped images and held-out images are not compared.

    Args:
        data: data module after ``setup``.
        folder: the run directory.
        first: the record of round 0; None before it is written. A record of an older version has no digest; then only
            the number of test images is compared.
        parts: train, test or both.
    """
    file = folder / FILE
    if first is None or first.data is not None:
        try:
            amendments = read_amendments(folder)
            return first_change(known_images(folder, amendments), data, parts, removed_paths(amendments))
        except (OSError, ValueError):  # the digest alone tells whether there is a difference, but not where
            same = first is None or not first.data or digest_of(take_fingerprint(data)) == first.data["digest"]
            return None if same else f"the file with the former images, '{file}', is missing or damaged"
    num_test = len(data.test.label)
    if "test" in parts and num_test and not first.held_out and first.num_test not in (None, num_test):
        return f"there were {first.num_test:,} test images and are {num_test:,} now"
    return None
