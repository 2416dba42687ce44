"""Agreement of annotators."""

import pytest

from msal_lightning.analysis.stats.agreement import agreements, say_agreements

VOTES = [
    (("anna", "cat"), ("ben", "cat")),
    (("ben", "dog"), ("anna", "dog")),
    (("anna", "cat"), ("ben", "dog"), ("cleo", "cat")),
    (("anna", "skip"), ("ben", "skip")),
    (("anna", "cat"),),
]


def test_cohens_kappa_by_hand():
    """Anna and ben: 3 of 4 the same; anna says cat, dog, cat, skip, ben cat, dog, dog, skip: chance 2/8·... = 5/16."""
    first, second, third = agreements(VOTES)
    assert (first.annotators, first.images, first.same, first.kappa) == (("ben", "cleo"), 1, 0, pytest.approx(0.0))
    chance = (2 * 1 + 1 * 2 + 1 * 1) / 16
    assert (second.annotators, second.images, second.same) == (("anna", "ben"), 4, 3)
    assert second.kappa == pytest.approx((3 / 4 - chance) / (1 - chance))
    assert (third.annotators, third.same, third.kappa) == (("anna", "cleo"), 1, None)
    assert say_agreements([second, third]) == [
        "anna and ben agree about 3 of 4 images, Cohen's kappa 0.64",
        "anna and cleo agree about 1 of 1 image",
    ]


def test_many_pairs_are_few_lines():
    votes = [tuple((f"p{k}", "cat" if k else "dog") for k in range(5))]
    lines = say_agreements(agreements(votes))
    assert len(lines) == 6
    assert lines[-1] == "5 more pairs of annotators agree more often"
    assert agreements([]) == []
