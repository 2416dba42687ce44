"""Which label counts where annotators disagree."""

from msal_lightning.oracles.base import Annotation
from msal_lightning.oracles.resolve import decide, disagree, majority_of, with_votes

CAT, DOG, SKIP = Annotation("cat"), Annotation("dog"), Annotation(None, "skip")


def test_majority():
    votes = [
        {"anna": CAT, "ben": CAT},
        {"anna": CAT, "ben": DOG},
        {"anna": CAT, "ben": DOG, "cleo": DOG},
        {"anna": SKIP, "ben": SKIP, "cleo": DOG},
        {"anna": CAT, "ben": CAT, "cleo": DOG, "dora": SKIP},  # two of four are no majority
        {"": CAT},
    ]
    assert decide(votes, "majority") == [CAT, None, DOG, SKIP, None, CAT]
    assert decide(votes, "adjudicate") == [CAT, None, None, None, None, CAT]
    assert [*map(disagree, votes)] == [False, True, True, True, True, False]
    assert majority_of([DOG]) == DOG


def test_quality_uses_what_was_said_before():
    votes = [{"anna": CAT, "ben": DOG}, {"ben": DOG}, {"anna": DOG, "ben": DOG}]
    assert decide(votes, "quality") == [None, DOG, DOG]  # neither of two is known to be better
    earlier = [(("anna", word), ("ben", other), ("cleo", word)) for word in ("cat", "dog") for other in ("cat", "dog")]
    assert decide(votes, "quality", earlier) == [CAT, DOG, DOG]  # cleo agreed with anna
    assert decide(votes, "quality", [*earlier, (("ben", "dog"),)] * 5) == [CAT, DOG, DOG]


def test_names_stay_with_the_label():
    assert with_votes(CAT, {"anna": CAT, "ben": DOG}).votes == (("anna", "cat"), ("ben", "dog"))
    assert with_votes(CAT, {"": CAT}).votes == ()
    assert with_votes(CAT, {"anna": CAT}) == CAT  # equal whoever said it
