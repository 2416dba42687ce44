"""The majority vote of several annotators."""

from collections.abc import Sequence

from msal_lightning.data.places import UNSURE
from msal_lightning.oracles.base import Annotation
from msal_lightning.oracles.resolve import majority_of


def majority(votes: Sequence[Annotation], annotators: int) -> Annotation | None:
    """Return the label that more than half of the annotators gave.

    Args:
        votes: one per annotator; skip and unsure are votes like a class.
        annotators: number of votes that an image needs.

    Returns:
        None while votes are missing; ``unsure`` if all votes are in without a majority, because no further vote would
        come.
    """
    if len(votes) < annotators:
        return None
    return majority_of(votes) or Annotation(None, UNSURE)
