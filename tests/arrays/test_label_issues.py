"""Suspect labels, against the definition of confident learning as loops, and against cleanlab."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from msal_lightning.arrays.label_issues import find_suspects, out_of_fold


def by_definition(probabilities, labels):
    """Sets of the confident joint, row by row, as in section 3.1 of the paper."""
    classes = range(probabilities.shape[1])
    threshold = [np.mean([p[j] for p, label in zip(probabilities, labels, strict=True) if label == j]) for j in classes]
    found = []
    for row, (p, label) in enumerate(zip(probabilities, labels, strict=True)):
        above = [j for j in classes if p[j] >= threshold[j]]
        if above:
            best = max(above, key=lambda j: p[j])
            if best != label and p[best] > p[label]:
                found.append((p[label], row, best))
    return [(row, best, given) for given, row, best in sorted(found)]


@pytest.fixture(scope="module")
def noisy():
    """400 digits, 40 of them with another label, and these rows."""
    features, labels = load_digits(return_X_y=True)
    draws = np.random.default_rng(0)
    rows = draws.choice(len(labels), 400, replace=False)
    features, labels = features[rows].astype(np.float32), labels[rows].astype(np.int64)
    wrong = draws.choice(400, 40, replace=False)
    labels[wrong] = (labels[wrong] + draws.integers(1, 10, 40)) % 10
    return features, labels, set(wrong.tolist())


def test_suspects_are_those_of_the_definition():
    draws = np.random.default_rng(1)
    for classes in (2, 3, 7):
        labels = draws.integers(0, classes, 200)
        probabilities = draws.dirichlet(np.ones(classes), 200)
        found = find_suspects(probabilities, labels)
        assert list(zip(found.row, found.suspected, found.given, strict=True)) == by_definition(probabilities, labels)
        assert (found.found == probabilities[found.row, found.suspected]).all()
        assert len(found.row) > 20


def test_wrong_labels_are_found_and_the_first_are_the_surest(noisy):
    features, labels, wrong = noisy
    found = find_suspects(out_of_fold(features, labels), labels)
    hits = [row in wrong for row in found.row.tolist()]
    assert sum(hits) >= 25
    assert sum(hits[:20]) >= 17
    again = find_suspects(out_of_fold(features, labels), labels)
    assert all((a == b).all() for a, b in zip(found, again, strict=True))


def test_no_row_is_predicted_by_a_model_that_saw_it(noisy):
    features, labels, _ = noisy
    _, test = next(iter(StratifiedKFold(5, shuffle=True, random_state=0).split(features, labels)))
    seen = np.delete(features, test, 0)
    mean, std = seen.mean(0), seen.std(0)
    std[std == 0] = 1
    head = LogisticRegression(C=0.1, max_iter=2000).fit((seen - mean) / std, np.delete(labels, test))
    expected = head.predict_proba((features[test] - mean) / std)
    assert out_of_fold(features, labels)[test] == pytest.approx(expected, abs=2e-3)


@pytest.mark.slow
def test_suspects_are_those_of_cleanlab(noisy):
    cleanlab = pytest.importorskip("cleanlab.filter")
    features, labels, _ = noisy
    probabilities = out_of_fold(features, labels)
    theirs = cleanlab.find_label_issues(
        labels, probabilities, filter_by="confident_learning", return_indices_ranked_by="self_confidence", n_jobs=1
    )
    assert find_suspects(probabilities, labels).row.tolist() == theirs.tolist()
