"""FALCUN against scikit-activeml's, with the same random numbers, and against its formula by hand."""

import math

import numpy as np
import pytest
import torch
from skactiveml.base import SkactivemlClassifier
from skactiveml.pool import Falcun
from skactiveml.utils import check_random_state

from msal_lightning import select_indices
from msal_lightning.strategies import FALCUN
from msal_lightning.strategies.outputs import PoolOutputs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_pool(probabilities):
    return PoolOutputs(torch.arange(len(probabilities)), logits=torch.as_tensor(probabilities).clamp_min(1e-30).log())


def draw(rows, num_classes, seed=0, scale=2.0):
    return (scale * torch.randn(rows, num_classes, generator=generator(seed), dtype=torch.float64)).softmax(dim=1)


def selected(probabilities, n, gamma=10.0, seed=0):
    return select_indices(FALCUN(gamma), [make_pool(probabilities)], None, n, generator(seed)).tolist()


class Given(SkactivemlClassifier):
    """Predicts given probabilities for rows 0, 1, 2, ... of the pool."""

    def __init__(self, probabilities=None, classes=None, missing_label=np.nan, cost_matrix=None, random_state=None):
        super().__init__(
            classes=classes, missing_label=missing_label, cost_matrix=cost_matrix, random_state=random_state
        )
        self.probabilities = probabilities

    def fit(self, X, y, sample_weight=None):  # noqa: N803
        return self

    def predict_proba(self, X):  # noqa: N803
        return self.probabilities


def theirs(probabilities, n, gamma, seed):
    unlabeled, rows = np.full(len(probabilities), np.nan), np.arange(len(probabilities))[:, None]
    strategy = Falcun(gamma=gamma, random_state=seed)
    return strategy.query(rows, unlabeled, clf=Given(probabilities.numpy()), fit_clf=False, batch_size=n).tolist()


@pytest.mark.parametrize(("rows", "num_classes", "n"), [(60, 2, 20), (200, 5, 60), (90, 10, 90)])
@pytest.mark.parametrize("gamma", [0, 1, 10, 50])
def test_picks_are_those_of_scikit_activeml(monkeypatch, rows, num_classes, n, gamma):
    probabilities = draw(rows, num_classes, seed=rows)
    # numpy's choice draws by the same inverse of the cumulative sum, with a uniform number for each pick; the seed of
    # scikit-activeml depends on the number of rows without a label
    uniform = torch.from_numpy(check_random_state(7, rows + 1).random_sample(n))
    monkeypatch.setattr(torch, "rand", lambda *_, **__: uniform)
    assert selected(probabilities, n, gamma) == theirs(probabilities, n, gamma, seed=7)


def test_first_draw_is_by_the_power_of_the_uncertainty():
    probabilities = torch.tensor([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0], [0.625, 0.375]])  # u: 1, 0.5, 0, 0.75
    counts = np.bincount([selected(probabilities, 1, gamma=2, seed=seed)[0] for seed in range(800)], minlength=4)
    expected = 800 * np.array([1, 0.25, 0, 0.5625]) / 1.8125
    assert counts[2] == 0
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected) + 1).all()


def test_a_copy_of_a_selected_row_has_no_diversity():
    probabilities = torch.tensor([[0.5, 0.5, 0]] * 5 + [[0, 0.6, 0.4]])  # u: 1 and 0.8
    assert {selected(probabilities, 2, gamma=1000, seed=seed)[1] for seed in range(20)} == {5}  # 1 + 0 < 0.8 + 1


def test_a_large_power_takes_the_largest_sum():
    probabilities = draw(50, 4)
    first, second = probabilities.topk(2).values.unbind(dim=1)
    picks = [selected(probabilities, 10, gamma=1e6, seed=seed) for seed in range(5)]
    assert all(each == picks[0] for each in picks)
    assert picks[0][0] == int((first - second).argmin())


def test_certain_rows_are_drawn_with_equal_chances():
    probabilities = torch.tensor([[1.0, 0.0]] * 6)
    counts = np.bincount([row for seed in range(200) for row in selected(probabilities, 2, seed=seed)], minlength=6)
    assert (np.abs(counts - 400 / 6) < 4 * math.sqrt(400 / 6)).all()


@pytest.mark.parametrize("gamma", [-1, math.nan, math.inf])
def test_gamma_out_of_range_is_refused(gamma):
    with pytest.raises(ValueError, match=r"query\.gamma must be a number of at least 0"):
        FALCUN(gamma)
