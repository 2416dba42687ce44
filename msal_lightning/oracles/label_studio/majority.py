"""When several annotators label an image, what counts."""

from collections import Counter
from collections.abc import Sequence

from msal_lightning.data.places import UNSURE
from msal_lightning.oracles.base import Annotation


def majority(votes: Sequence[Annotation], annotators: int) -> Annotation | None:
    """The answer that more than half of the annotators gave.

    Args:
        votes: one an annotator; to skip an image is a vote like a class.
        annotators: votes that an image needs.

    Returns:
        None while votes are missing; ``unsure`` when all are in and no answer has more than half of them: nobody would
        be asked again, so to wait would be for ever.
    """
    if len(votes) < annotators:
        return None
    answer, count = Counter(votes).most_common(1)[0]
    return answer if 2 * count > len(votes) else Annotation(None, UNSURE)
