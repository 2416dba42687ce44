"""The majority vote of several annotators."""

from collections import Counter
from collections.abc import Sequence

from msal_lightning.data.places import UNSURE
from msal_lightning.oracles.base import Annotation


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
    answer, count = Counter(votes).most_common(1)[0]
    return answer if 2 * count > len(votes) else Annotation(None, UNSURE)
