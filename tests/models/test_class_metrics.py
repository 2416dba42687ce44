"""Numbers by class against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    precision_score,
    roc_auc_score,
)

from msal_lightning.models.class_results import ClassResults
from msal_lightning.models.metrics import ClassMetrics


def draw(n, num_classes, seed=0, absent=()):
    """Logits that know something of the labels, with ties; some classes have no image."""
    generator = torch.Generator().manual_seed(seed)
    present = torch.tensor([c for c in range(num_classes) if c not in absent])
    target = present[torch.randint(len(present), (n,), generator=generator)]
    logits = torch.randn(n, num_classes, generator=generator).mul(2).round() / 2
    logits[torch.arange(n), target] += 1
    return logits, target


def results(logits, target, size=7):
    metrics = ClassMetrics(logits.shape[1])
    for one, truth in zip(logits.split(size), target.split(size), strict=True):
        metrics.update(one, truth)
    return metrics.results()


@pytest.mark.parametrize(
    ("n", "num_classes", "absent"), [(200, 2, ()), (200, 3, (1,)), (60, 10, (3, 9)), (500, 100, ()), (3, 5, (0,))]
)
def test_all_numbers_are_those_of_scikit_learn(n, num_classes, absent):
    logits, target = draw(n, num_classes, absent=absent)
    got = results(logits, target)
    predicted, probabilities = logits.argmax(dim=1), logits.softmax(dim=1)
    labels = list(range(num_classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        target, predicted, labels=labels, zero_division=np.nan
    )
    assert got.images == support.tolist()
    assert got.matrix() == confusion_matrix(target, predicted, labels=labels).tolist()
    for c in labels:
        expected = {"precision": precision[c], "recall": recall[c], "f1": f1[c] if support[c] else np.nan}
        for name, value in expected.items():
            found = getattr(got, name)(c)
            assert found is None if np.isnan(value) else found == pytest.approx(value)
        if 0 < support[c] < n:
            assert got.auroc[c] == pytest.approx(roc_auc_score(target == c, probabilities[:, c]), abs=1e-6)
        else:
            assert got.auroc[c] is None
    tested = sorted(set(target.tolist()))
    macro = {"labels": tested, "average": "macro", "zero_division": 0}
    assert got.balanced_accuracy == pytest.approx(recall[tested].mean())
    assert got.macro()["macro_precision"] == pytest.approx(precision_score(target, predicted, **macro), abs=1e-6)
    assert got.macro()["macro_f1"] == pytest.approx(f1_score(target, predicted, **macro), abs=1e-6)
    if len(tested) == num_classes:
        assert got.balanced_accuracy == pytest.approx(balanced_accuracy_score(target, predicted))
        expected = np.mean([roc_auc_score(target == c, probabilities[:, c]) for c in tested])
        assert got.macro()["macro_auroc"] == pytest.approx(expected, abs=1e-6)


def test_by_hand():
    logits = torch.tensor([[2.0, 0, 0], [0, 2, 0], [2, 0, 0], [2, 0, 0]])
    got = results(logits, torch.tensor([0, 0, 0, 1]))
    assert got == ClassResults([3, 1, 0], [3, 1, 0], [2, 0, 0], [0.333333, 0.333333, None], ["0:2 1:1", "0:1", ""])
    assert (got.precision(0), got.recall(0), got.f1(0)) == (2 / 3, 2 / 3, 2 / 3)
    assert (got.precision(1), got.recall(1), got.f1(1)) == (0, 0, 0)
    assert (got.precision(2), got.recall(2), got.f1(2)) == (None, None, None)
    assert got.macro() == {"macro_precision": 0.333333, "macro_f1": 0.333333, "macro_auroc": 0.333333}


def test_one_class_in_the_test_set_leaves_auroc_out():
    got = results(*draw(20, 2, absent=(1,)))
    assert got.auroc == [None, None]
    assert "macro_auroc" not in got.macro()


def test_batches_and_an_empty_one_change_nothing():
    logits, target = draw(101, 6)
    whole = results(logits, target, size=1000)
    assert results(logits, target, size=1) == whole
    metrics = ClassMetrics(6)
    for rows in (slice(0, 0), slice(0, 50), slice(50, 50), slice(50, 101)):
        metrics.update(logits[rows], target[rows])
    assert metrics.results() == whole
    metrics.reset()
    metrics.update(logits[:9], target[:9])
    assert sum(metrics.results().images) == 9


def test_many_classes_make_no_matrix():
    """100,000 classes: a C × C tensor would take 80 GB."""
    metrics = ClassMetrics(100_000)
    logits = torch.zeros(4, 100_000)
    logits[torch.arange(4), torch.tensor([5, 99_999, 7, 5])] = 1
    metrics.update(logits, torch.tensor([5, 99_999, 5, 5]))
    got = metrics.results()
    assert (got.auroc, got.confusion, got.matrix()) == (None, None, None)
    assert (got.images[5], got.predicted[5], got.correct[5], got.predicted[7]) == (3, 2, 2, 1)
    assert got.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)


def test_probabilities_beyond_the_limit_leave_auroc_out(monkeypatch):
    monkeypatch.setattr("msal_lightning.models.metrics._MOST_SCORES", 100)
    logits, target = draw(60, 3)
    got = results(logits, target)
    assert got.auroc is None
    assert got.matrix() == confusion_matrix(target, logits.argmax(dim=1)).tolist()


def test_many_small_batches_are_few_tensors():
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(3001, 4, generator=generator), torch.randint(4, (3001,), generator=generator)
    whole, parts = ClassMetrics(4), ClassMetrics(4)
    whole.update(logits, target)
    for batch in torch.split(torch.arange(3001), 7):
        parts.update(logits[batch], target[batch])
    assert parts.results() == whole.results()
    assert len(parts.target) == len(parts.predicted) == len(parts.probabilities) < 12
