"""Places of images that no model trains on, and reasons to skip an image."""

from enum import IntEnum


class Place(IntEnum):
    """Values of ``labeled_at`` below 0; an image with k ≥ 0 is trained on from round k, with 0 in the initial set."""

    POOL = -1
    """Not labeled yet."""
    LEFT_OUT = -2
    """Left out of a long-tailed version of the dataset."""
    SKIPPED = -3
    """Its label was requested, and the annotator skipped it."""
    HELD_OUT = -4
    """Labeled to test on."""
    REMOVED = -5
    """Removed from the run by a person, with its label if it had one."""
    RESERVED = -6
    """Chosen ahead of its round; no other query sees it."""


SKIP, UNSURE = "skip", "unsure"
REASONS = (SKIP, UNSURE)
"""Annotations without a class: both remove the image from the pool, and the next best image replaces it."""
