"""Labels that are probably wrong, by confident learning (Northcutt, Jiang and Chuang 2019, arXiv 1911.00068)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

FOLDS = 5
# Wrong labels need a head that does not learn each of them: of 400 digits with 40 wrong labels, eight draws, 0.1 finds
# 29 among 36 suspects, scikit-learn's default 1.0 finds 32 among 54, and 10 finds 34 among 88
_INVERSE_PENALTY = 0.1
_STEPS = 2000  # of L-BFGS; standardized features take a few hundred at most


class Suspects(NamedTuple):
    """Labels that are probably wrong, the most doubtful first.

    Attributes:
        row: (n,) int64, rows of the labels.
        suspected: (n,) int64, their probable classes.
        given: (n,) float64, probability of the label itself: the self-confidence.
        found: (n,) float64, probability of the probable class.
    """

    row: NDArray[np.int64]
    suspected: NDArray[np.int64]
    given: NDArray[np.float64]
    found: NDArray[np.float64]


def out_of_fold(features: NDArray[np.float32], labels: NDArray[np.int64], seed: int = 0) -> NDArray[np.float64]:
    """Compute the probabilities of each row by a linear classifier that was not trained on the row.

    Args:
        features: (N, D) of any scale; each fold standardizes them.
        labels: (N,) class numbers 0 to C - 1, each at least :data:`FOLDS` times.
        seed: seed of the stratified folds.

    Returns:
        (N, C) probabilities.
    """
    probabilities = np.empty((len(labels), int(labels.max()) + 1))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with threadpool_limits(1):  # the same sums on any number of cores
        for train, test in folds.split(features, labels):
            head = make_pipeline(StandardScaler(), LogisticRegression(C=_INVERSE_PENALTY, max_iter=_STEPS))
            probabilities[test] = head.fit(features[train], labels[train]).predict_proba(features[test])
    return probabilities


def find_suspects(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Suspects:
    """Find the labels outside the diagonal of the confident joint.

    A row counts as class j if its probability of j is at least the threshold of j: the mean probability of j over the
    rows that are labeled j. Of several such classes the most probable one counts. A label is suspect if its row counts
    as another class that is also more probable than the label; cleanlab adds this condition, too.

    Args:
        probabilities: (N, C) of models that did not see the row's label.
        labels: (N,) class numbers 0 to C - 1, each at least once.

    Returns:
        Suspects by self-confidence, lowest first; rows of equal self-confidence in their order.
    """
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    thresholds = np.bincount(labels, weights=own) / np.bincount(labels)
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    best = confident.argmax(axis=1)
    is_suspect = (best != labels) & (confident[rows, best] > own)
    found = rows[is_suspect]
    found = found[np.argsort(own[found], kind="stable")]
    return Suspects(found, best[found], own[found], probabilities[found, best[found]])
