"""The majority against a naive loop over random votes, and the cases a person would try."""

import random

import pytest

from msal_lightning.oracles.base import Annotation
from msal_lightning.oracles.label_studio.majority import majority

CAT, DOG, SKIP, UNSURE = Annotation("cat"), Annotation("dog"), Annotation(None, "skip"), Annotation(None, "unsure")


def naive(votes, annotators):
    if len(votes) < annotators:
        return None
    for candidate in (CAT, DOG, SKIP, UNSURE):
        same = 0
        for vote in votes:
            if vote.label == candidate.label and vote.reason == candidate.reason:
                same += 1
        if same > len(votes) / 2:
            return candidate
    return UNSURE


def test_random_votes_against_a_naive_loop():
    draw = random.Random(0)
    for _ in range(3000):
        votes = draw.choices((CAT, DOG, SKIP, UNSURE), k=draw.randint(0, 7))
        annotators = draw.randint(1, 6)
        assert majority(votes, annotators) == naive(votes, annotators)


@pytest.mark.parametrize(
    ("votes", "annotators", "answer"),
    [
        ([], 1, None),
        ([CAT], 1, CAT),
        ([CAT], 2, None),
        ([CAT, DOG], 2, UNSURE),
        ([CAT, CAT], 3, None),  # the third may not change it, but was asked for
        ([CAT, DOG, CAT], 3, CAT),
        ([CAT, DOG, SKIP], 3, UNSURE),
        ([SKIP, CAT, SKIP], 3, SKIP),
        ([CAT, CAT, DOG, SKIP], 3, UNSURE),  # two of four are no majority
    ],
)
def test_by_hand(votes, annotators, answer):
    assert majority(votes, annotators) == answer
