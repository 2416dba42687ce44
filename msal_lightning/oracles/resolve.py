"""Which label counts where annotators disagree."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from msal_lightning.oracles.base import Annotation
from msal_lightning.oracles.quality import Votes, estimate_quality

Resolve = Literal["majority", "quality", "adjudicate"]


def disagree(votes: Mapping[str, Annotation]) -> bool:
    """Return whether annotators said different things about an image."""
    return len({*votes.values()}) > 1


def majority_of(votes: Sequence[Annotation]) -> Annotation | None:
    """Return what more than half of the votes say; None without such a majority."""
    answer, count = Counter(votes).most_common(1)[0]
    return answer if 2 * count > len(votes) else None


def decide(
    votes: Sequence[Mapping[str, Annotation]], how: Resolve, earlier: Sequence[Votes] = ()
) -> list[Annotation | None]:
    """Return the label of each image; None where a person has to decide.

    Args:
        votes: annotations of each image by annotator, at least one each.
        how: majority takes what more than half of the annotators of an image say; quality weights annotators by how
            often they are right; adjudicate takes no label that another annotator contradicts.
        earlier: votes on images that are labeled already, for quality.
    """
    if how == "quality" and any(map(disagree, votes)):
        return _by_quality(votes, earlier)
    return [
        next(iter(given.values()))
        if not disagree(given)
        else majority_of([*given.values()])
        if how == "majority"
        else None
        for given in votes
    ]


def with_votes(answer: Annotation, votes: Mapping[str, Annotation]) -> Annotation:
    """Return an annotation that keeps who said what, if anybody has a name."""
    named = tuple((name, vote.word) for name, vote in votes.items())
    return replace(answer, votes=named) if any(votes) else answer


def _by_quality(votes: Sequence[Mapping[str, Annotation]], earlier: Sequence[Votes]) -> list[Annotation | None]:
    several = [k for k, given in enumerate(votes) if len(given) > 1]  # a single vote tells nothing about quality
    before = [given for given in earlier if len(given) > 1]
    now = [[(name, vote.word) for name, vote in votes[k].items()] for k in several]
    found = estimate_quality([*before, *now])
    word_of = {k: found.best(len(before) + n) for n, k in enumerate(several)}
    return [
        next((vote for vote in given.values() if vote.word == word_of[k]), None)
        if k in word_of
        else next(iter(given.values()))
        for k, given in enumerate(votes)
    ]
