"""DBAL: the pre-filter and the weighted k-means behind it."""

import math

import numpy as np
import pytest
import torch
from skactiveml.classifier import ParzenWindowClassifier
from skactiveml.pool import Clue
from sklearn.cluster import KMeans

from msal_lightning import select_indices
from msal_lightning.strategies import DBAL, MSAL, Entropy, LeastConfidence, Margin
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.kmeans import kmeans


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def with_margin(scores):
    """Logits of two classes with these scores of Margin: p₁ - p₂ = 1 - score."""
    first = 1 - torch.as_tensor(scores, dtype=torch.float64) / 2
    return torch.stack([torch.log(first / (1 - first)), torch.zeros(len(scores))], dim=1).float()


def make_pool(positions, logits):
    embeddings = torch.as_tensor(positions, dtype=torch.float32)
    embeddings = embeddings[:, None] if embeddings.ndim == 1 else embeddings
    return PoolOutputs(100 + torch.arange(len(embeddings)), embeddings=embeddings, logits=logits)


def selected(strategy, pool, n, seed=0):
    return (select_indices(strategy, [pool], None, n, generator(seed)) - 100).tolist()


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def naive_scores(cls, logits):
    p = np.sort(softmax(logits.double().numpy()), axis=1)
    return {Margin: 1 - (p[:, -1] - p[:, -2]), LeastConfidence: 1 - p[:, -1], Entropy: -(p * np.log(p)).sum(axis=1)}[
        cls
    ]


def test_weights_move_a_center_to_another_row():
    # Clusters 0 4 10 and 1000 1004 1010. The means are 4.7 and 1004.7; with the weights they are
    # (0·.1 + 4·.1 + 10·.9) / 1.1 = 8.5 and (0·.9 + 4·.1 + 10·.1) / 1.1 = 1.3 above 1000.
    at = [0, 4, 10, 1000, 1004, 1010]
    even, uneven = [0.5] * 6, [0.1, 0.1, 0.9, 0.9, 0.1, 0.1]
    for seed in range(5):
        assert sorted(selected(DBAL(), make_pool(at, with_margin(even)), 2, seed)) == [1, 4]
        assert sorted(selected(DBAL(), make_pool(at, with_margin(uneven)), 2, seed)) == [2, 3]


def test_certain_rows_are_left_out_before_clustering():
    at, scores = [0, 1, 2, 500, 501, 502, 1e6, -1e6], [0.5, 0.6, 0.5, 0.5, 0.6, 0.5, 0.1, 0.2]
    pool = make_pool(at, with_margin(scores))
    assert sorted(selected(DBAL(beta=3), pool, 2)) == [1, 4]
    assert 7 in selected(DBAL(beta=3.4), pool, 2)  # ceil(6.8) = 7 rows: the outlier of score 0.2 too, a cluster alone
    assert 6 not in selected(DBAL(beta=3.4), pool, 2)


@pytest.mark.parametrize("cls", [Margin, LeastConfidence, Entropy])
@pytest.mark.parametrize("beta", [2, 5.5, 30])
def test_against_the_steps_of_the_paper(cls, beta):
    n = 6
    logits = 2 * torch.randn(120, 4, generator=generator(1))
    embeddings = torch.randn(120, 3, generator=generator(2))
    score = naive_scores(cls, logits)
    kept = sorted(sorted(range(120), key=lambda row: -score[row])[: math.ceil(beta * n)])
    x = embeddings[kept] - embeddings[kept].mean(dim=0)
    centers = kmeans(x, n, generator(3), torch.as_tensor(score[kept]).float())[0].double().numpy()
    expected = []
    for center in centers:
        distance = ((x.double().numpy() - center) ** 2).sum(axis=1)
        expected.append(min((i for i in range(len(kept)) if i not in expected), key=lambda i: distance[i]))
    assert selected(DBAL(cls(), beta), make_pool(embeddings, logits), n, 3) == [kept[i] for i in expected]


def test_planted_clusters_give_one_row_each_nearest_to_the_weighted_mean():
    centers = 100 * torch.randn(7, 4, generator=generator(1))
    cluster = torch.randint(7, (210,), generator=generator(2))
    embeddings = centers[cluster] + torch.randn(210, 4, generator=generator(3))
    scores = (0.05 + 0.9 * torch.rand(210, generator=generator(4))).double().numpy()
    x, expected = embeddings.double().numpy(), set()
    for c in range(7):
        rows = np.flatnonzero(cluster == c)
        mean = (scores[rows, None] * x[rows]).sum(axis=0) / scores[rows].sum()
        expected.add(int(rows[((x[rows] - mean) ** 2).sum(axis=1).argmin()]))
    assert set(selected(DBAL(beta=100), make_pool(embeddings, with_margin(scores)), 7)) == expected


def test_over_the_whole_pool_it_is_clue_of_scikit_activeml():
    x = (60 * torch.randn(6, 4, generator=generator(1)))[torch.arange(180) % 6]
    x = x + torch.randn(180, 4, generator=generator(2))
    y = np.where(np.arange(180) < 40, np.arange(180) % 4, np.nan)
    classifier = ParzenWindowClassifier(classes=[0, 1, 2, 3]).fit(x.numpy(), y)
    pool = make_pool(x[40:], torch.from_numpy(classifier.predict_proba(x[40:].numpy())).clamp_min(1e-30).log().float())
    for seed in range(3):
        options = {"n_init": 1, "random_state": int(torch.randint(2**31 - 1, (), generator=generator(seed)))}
        theirs = Clue(cluster_algo=KMeans, cluster_algo_dict=options).query(
            x.numpy(), y, estimator=classifier, fit_estimator=False, batch_size=6
        )
        assert sorted(selected(DBAL(Entropy(), beta=1e6), pool, 6, seed)) == sorted(theirs - 40)


@pytest.mark.parametrize("uncertain", [0, 1, 4, 30])
def test_rows_without_weight_fill_the_batch(uncertain):
    logits = torch.tensor([1e4, 0.0]).repeat(30, 1)
    logits[:uncertain] = 0
    picks = selected(DBAL(beta=2), make_pool(torch.randn(30, 2, generator=generator()), logits), 10)
    assert len(set(picks)) == 10


def test_without_any_weight_clusters_are_those_of_k_means():
    at = [0, 4, 10, 1000, 1004, 1010]
    assert sorted(selected(DBAL(), make_pool(at, torch.tensor([1e4, 0.0]).repeat(6, 1)), 2)) == [1, 4]


def test_fewer_different_rows_than_asked_for():
    pool = make_pool(torch.tensor([0.0, 50, 100]).repeat(10), with_margin([0.5] * 30))
    picks = selected(DBAL(), pool, 7)
    assert len(set(picks)) == 7
    assert {row % 3 for row in picks} == {0, 1, 2}


def test_needs_are_those_of_the_uncertainty_and_embeddings():
    assert DBAL().needs == {"logits", "embeddings"}
    strategy = DBAL(Entropy(mc_samples=5))
    assert (strategy.needs, strategy.mc_samples) == ({"mc_logits", "embeddings"}, 5)
    assert (DBAL(MSAL()).needs_prototypes, DBAL(MSAL()).min_classes) == (True, 3)
    assert [DBAL().name, strategy.name] == ["DBAL", "DBAL-EntropyD"]


@pytest.mark.parametrize(("beta", "n", "size"), [(1, 7, 7), (2.5, 3, 8), (10, 40, 400), (1.01, 10, 11)])
def test_shortlist_is_beta_b_rounded_up(beta, n, size):
    assert DBAL(beta=beta).shortlist_size(n) == size


def test_beta_is_10_by_default():
    assert DBAL().shortlist_size(40) == 400


@pytest.mark.parametrize("beta", [0.99, 0, -1, math.nan, math.inf])
def test_beta_below_one_is_refused(beta):
    with pytest.raises(ValueError, match=r"query\.beta must be a number of at least 1"):
        DBAL(beta=beta)
