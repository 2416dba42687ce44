"""DropQuery against scikit-activeml's on the same predictions, and by hand."""

import numpy as np
import pytest
import torch
from skactiveml.base import SkactivemlClassifier
from skactiveml.pool import DropQuery as Theirs
from sklearn.cluster import KMeans

from msal_lightning import select_indices
from msal_lightning.strategies import DropQuery
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.kmeans import kmeans


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_pool(embeddings, predicted, passes):
    """Logits that predict the given classes: (N,) without and (T, N) with dropout."""
    one_hot = torch.nn.functional.one_hot
    classes = int(max(predicted.max(), passes.max())) + 1
    return PoolOutputs(
        100 + torch.arange(len(embeddings)),
        embeddings=embeddings,
        logits=one_hot(predicted, classes).float(),
        mc_logits=one_hot(passes, classes).float(),
    )


def selected(pool, n, seed=0):
    strategy = DropQuery(mc_samples=len(pool.mc_logits))
    return (select_indices(strategy, [pool], None, n, generator(seed)) - 100).tolist()


class Given(SkactivemlClassifier):
    """Predicts the rows of an array one after another: first without, then with dropout."""

    def __init__(self, predictions=(), classes=None, missing_label=np.nan, cost_matrix=None, random_state=None):
        super().__init__(
            classes=classes, missing_label=missing_label, cost_matrix=cost_matrix, random_state=random_state
        )
        self.predictions = predictions

    def fit(self, X, y, sample_weight=None):  # noqa: N803
        return self

    def predict_proba(self, X):  # noqa: N803
        raise NotImplementedError

    def predict(self, X):  # noqa: N803
        return self.predictions.pop(0)


def theirs(pool, n, seed):
    predictions = [pool.logits.argmax(dim=1).numpy(), *pool.mc_logits.argmax(dim=2).numpy()]
    x = pool.embeddings.double().numpy()
    seed = int(torch.randint(2**31 - 1, (), generator=generator(seed)))
    strategy = Theirs(
        n_dropout_samples=len(pool.mc_logits),
        cluster_algo=KMeans,
        cluster_algo_dict={"n_init": 1, "random_state": seed},
    )
    found = strategy.query(x, np.full(len(x), np.nan), Given(predictions), fit_clf=False, batch_size=n)
    return found.tolist()


@pytest.mark.parametrize("passes", [3, 4, 7])
def test_picks_are_those_of_scikit_activeml(passes):
    centers = 50 * torch.randn(8, 5, generator=generator(1))  # far apart, so that the first centers do not matter
    embeddings = (centers[:, None] + torch.randn(8, 40, 5, generator=generator(2))).flatten(0, 1)
    predicted = torch.randint(4, (320,), generator=generator(3))
    noise = torch.randint(4, (passes, 320), generator=generator(4))
    share = torch.rand(320, generator=generator(5))
    changed = torch.rand(passes, 320, generator=generator(6)) < share
    pool = make_pool(embeddings, predicted, torch.where(changed, noise, predicted))
    for seed in range(3):
        assert set(selected(pool, 8, seed)) == set(theirs(pool, 8, seed))


def test_candidates_change_in_more_than_half_of_the_passes():
    predicted = torch.zeros(6, dtype=torch.int64)
    passes = torch.tensor([[1, 1, 1, 1, 0, 0], [2, 1, 1, 1, 1, 0], [3, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]])
    pool = make_pool(torch.tensor([[0.0], [9], [1], [5], [6], [7]]), predicted, passes)  # changes: 3 4 3 2 1 0
    for seed in range(5):
        assert sorted(selected(pool, 2, seed)) in ([0, 1], [1, 2])  # clusters {0, 1} and {9}


def test_a_cluster_gives_the_row_nearest_to_its_mean():
    embeddings = torch.tensor([[0.0], [4], [5], [7], [100], [103], [104]])
    pool = make_pool(embeddings, torch.zeros(7, dtype=torch.int64), torch.ones(3, 7, dtype=torch.int64))
    assert sorted(selected(pool, 2)) == [1, 5]


def test_against_the_steps_of_the_paper():
    embeddings = torch.randn(300, 6, generator=generator(1))
    predicted = torch.randint(3, (300,), generator=generator(2))
    passes = torch.randint(3, (5, 300), generator=generator(3))
    candidates = np.flatnonzero((passes.numpy() != predicted.numpy()).sum(axis=0) > 2.5)
    x = embeddings[candidates] - embeddings[candidates].mean(dim=0)
    centers, _ = kmeans(x, 12, generator(7))
    expected = []
    for center in centers.double():
        order = ((x.double() - center) ** 2).sum(dim=1).argsort().tolist()
        expected.append(next(row for row in order if row not in expected))
    assert selected(make_pool(embeddings, predicted, passes), 12, 7) == candidates[expected].tolist()


def test_too_few_candidates_are_filled_with_the_most_changes_in_random_order():
    predicted = torch.zeros(40, dtype=torch.int64)
    passes = torch.zeros(5, 40, dtype=torch.int64)
    passes[:, 7] = 1
    passes[:2, 30] = 1
    pool = make_pool(torch.randn(40, 3, generator=generator()), predicted, passes)
    picks = [selected(pool, 6, seed) for seed in range(12)]
    assert all(each[:2] == [7, 30] for each in picks)
    assert len({row for each in picks for row in each}) > 25


def test_logits_are_not_kept():
    pool = make_pool(torch.randn(5, 3), torch.arange(5), torch.arange(15).view(3, 5))
    kept = DropQuery().condense(pool, 2)
    assert (kept.logits, kept.mc_logits) == (None, None)
    assert kept.condensed.tolist() == [[2.0]] * 5


@pytest.mark.parametrize("passes", [1, 0, -3])
def test_too_few_passes_are_refused(passes):
    with pytest.raises(ValueError, match=r"query\.mc_samples must be at least 2"):
        DropQuery(passes)
