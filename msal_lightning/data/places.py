"""Where an image is when no model is trained on it, and what a person may say instead of its class."""

from enum import IntEnum


class Place(IntEnum):
    """Values of ``labeled_at`` below 0; an image with k ≥ 0 is trained on from round k, with 0 in the initial set."""

    POOL = -1
    """Not labeled yet."""
    LEFT_OUT = -2
    """Of a class that a long-tailed version of the dataset cuts down."""
    SKIPPED = -3
    """Its label was requested, and the annotator skipped it."""
    HELD_OUT = -4
    """Labeled to test on."""


SKIP, UNSURE = "skip", "unsure"
REASONS = (SKIP, UNSURE)
"""What may be said instead of a class: both take the image out of the pool, and the next best replaces it."""
