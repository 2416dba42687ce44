"""Dawid and Skene's model with one accuracy for each annotator."""

import warnings

import numpy as np
import pytest

from msal_lightning.oracles.quality import estimate_quality

WORDS = ["ant", "bee", "cat", "dog"]


def simulate(accuracies, images, seed=0, each=None):
    """Votes of annotators who are right that often; each image has ``each`` of them, or all."""
    draws = np.random.default_rng(seed)
    truth = draws.integers(0, len(WORDS), images)
    votes = []
    for c in truth:
        who = draws.permutation(len(accuracies))[: each or len(accuracies)]
        said = [c if draws.random() < accuracies[a] else draws.choice([w for w in range(4) if w != c]) for a in who]
        votes.append([(f"p{a}", WORDS[w]) for a, w in zip(who, said, strict=True)])
    return votes, [WORDS[c] for c in truth]


def test_accuracies_are_found():
    accuracies = [0.95, 0.9, 0.6, 0.55, 0.5]
    votes, truth = simulate(accuracies, 2000)
    found = estimate_quality(votes)
    assert [found.accuracy[f"p{a}"] for a in range(5)] == pytest.approx(accuracies, abs=0.03)
    best = [found.best(k) for k in range(2000)]
    right = np.mean([a == b for a, b in zip(best, truth, strict=True)])
    by_count = [max(WORDS, key=[word for _, word in given].count) for given in votes]
    assert right > np.mean([a == b for a, b in zip(by_count, truth, strict=True)]) + 0.02  # two are better than three
    assert found.posterior.sum(axis=1) == pytest.approx(1)


def test_a_fixed_point_of_the_equations():
    """The result against E and M steps written as loops over annotators and classes."""
    votes, _ = simulate([0.9, 0.8, 0.4], 60, seed=1)
    found = estimate_quality(votes)
    for k, given in enumerate(votes):
        likelihood = []
        for word in found.words:
            product = 1.0
            for name, said in given:
                q = found.accuracy[name]
                product *= q if said == word else (1 - q) / (len(found.words) - 1)
            likelihood.append(product)
        assert found.posterior[k] == pytest.approx(np.array(likelihood) / sum(likelihood), abs=1e-6)
    for name, q in found.accuracy.items():
        of_them = [
            found.posterior[k, found.words.index(w)] for k, given in enumerate(votes) for n, w in given if n == name
        ]
        assert q == pytest.approx(np.mean(of_them), abs=1e-6)


def test_two_who_disagree_are_not_decided():
    found = estimate_quality([[("anna", "cat"), ("ben", "dog")], [("anna", "cat"), ("ben", "cat")]])
    assert found.best(0) is None
    assert found.best(1) == "cat"
    assert found.accuracy["anna"] == found.accuracy["ben"]


def test_the_order_of_images_and_annotators_does_not_matter():
    votes, _ = simulate([0.9, 0.7, 0.5], 50, seed=2)
    one = estimate_quality(votes)
    other = estimate_quality([given[::-1] for given in votes[::-1]])
    assert one.accuracy == pytest.approx(other.accuracy, abs=1e-9)
    assert [one.best(k) for k in range(50)] == [other.best(49 - k) for k in range(50)]


@pytest.mark.slow
def test_the_labels_are_those_of_crowd_kit():
    pandas = pytest.importorskip("pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = pytest.importorskip("crowdkit.aggregation").OneCoinDawidSkene(n_iter=200, tol=1e-9)
        votes, _ = simulate([0.95, 0.85, 0.6, 0.5], 400, seed=3, each=3)
        rows = [(k, name, word) for k, given in enumerate(votes) for name, word in given]
        theirs = model.fit_predict(pandas.DataFrame(rows, columns=["task", "worker", "label"]))
        skills = model.skills_
    found = estimate_quality(votes)
    same = [found.best(k) == theirs[k] for k in range(400)]
    assert np.mean(same) > 0.98  # theirs also estimates how frequent the classes are
    assert [found.accuracy[f"p{a}"] for a in range(4)] == pytest.approx([skills[f"p{a}"] for a in range(4)], abs=0.02)
