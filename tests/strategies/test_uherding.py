"""UHerding against its formula: coverage weighted by uncertainty, with a bandwidth from the labeled set."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from msal_lightning import select_indices
from msal_lightning.strategies import BALD, MSAL, Entropy, Margin, MaxHerding, UHerding
from msal_lightning.strategies.outputs import PoolOutputs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def outputs(rows, seed=0, first=0, **given):
    logits = 3 * randn(rows, 4, seed=seed + 1)
    given = {"embeddings": randn(rows, 6, seed=seed), "logits": logits - logits.mean(dim=1, keepdim=True)} | given
    return PoolOutputs(first + torch.arange(rows), **given)


def selected(strategy, pool, labeled, n):
    return select_indices(strategy, [pool], labeled, n, generator()).tolist()


def unit(x):
    return x.double().numpy() / np.linalg.norm(x.double().numpy(), axis=1, keepdims=True)


def distances(x, others):
    return np.sqrt(((unit(x)[:, None] - unit(others)[None]) ** 2).sum(axis=2))


def greedy(pool, labeled, n, weight, sigma):
    near = np.exp(-((distances(pool.embeddings, pool.embeddings) / sigma) ** 2))
    cover = np.exp(-((distances(pool.embeddings, labeled.embeddings) / sigma) ** 2)).max(axis=1)
    picks = []
    for _ in range(n):
        gain = (weight * np.maximum(near - cover, 0)).mean(axis=1)
        gain[picks] = -1
        picks.append(int(gain.argmax()))
        cover = np.maximum(cover, near[picks[-1]])
    return picks


def softmax(logits):
    return F.softmax(logits.double(), dim=1).numpy()


def margin(p):
    p = np.sort(p, axis=1)
    return 1 - (p[:, -1] - p[:, -2])


def entropy(p):
    return -(p * np.log(p)).sum(axis=1)


def one_minus_cosine(logits):
    logits = logits.double().numpy()
    return 1 - np.sqrt(4 / 3) * logits.max(axis=1) / np.linalg.norm(logits, axis=1)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("uncertainty", [Margin, Entropy, MSAL])
def test_picks_follow_the_formula(uncertainty, temperature):
    pool, labeled = outputs(200), outputs(25, seed=5, first=1000)
    p = softmax(pool.logits / temperature)
    weight = {
        Margin: lambda: margin(p),
        Entropy: lambda: entropy(p),
        MSAL: lambda: one_minus_cosine(pool.logits),  # a cosine does not change with the temperature
    }[uncertainty]()
    between = distances(labeled.embeddings, labeled.embeddings)
    sigma = between[between > 1e-9].min()
    assert selected(UHerding(uncertainty(), temperature=temperature), pool, labeled, 30) == greedy(
        pool, labeled, 30, weight, sigma
    )
    assert selected(UHerding(uncertainty(), sigma=0.7, temperature=temperature), pool, labeled, 30) == greedy(
        pool, labeled, 30, weight, 0.7
    )


def test_copies_among_the_labeled_do_not_shrink_the_bandwidth():
    pool, labeled = outputs(100), outputs(10, seed=5, first=1000)
    twice = PoolOutputs(
        torch.arange(1000, 1020), embeddings=labeled.embeddings.repeat(2, 1), logits=labeled.logits.repeat(2, 1)
    )
    assert selected(UHerding(), pool, twice, 20) == selected(UHerding(), pool, labeled, 20)


@pytest.mark.parametrize(
    "labeled", [None, outputs(1, seed=3, first=1000), outputs(0, first=1000)], ids=["none", "one", "empty"]
)
def test_the_bandwidth_is_one_without_two_labeled_images(labeled):
    pool = outputs(100)
    assert selected(UHerding(), pool, labeled, 20) == selected(UHerding(sigma=1.0), pool, labeled, 20)


def test_equal_uncertainties_are_maxherding():
    pool, labeled = outputs(150, logits=torch.zeros(150, 4)), outputs(10, seed=5, first=1000)
    assert selected(UHerding(sigma=1.0), pool, labeled, 40) == selected(MaxHerding(), pool, labeled, 40)


def test_certain_images_come_last():
    logits = torch.zeros(120, 4)
    logits[20:, 0] = 200.0
    pool, labeled = outputs(120, logits=logits), outputs(10, seed=5, first=1000)
    picks = selected(UHerding(sigma=1e-3), pool, labeled, 120)  # no image covers another
    assert picks[:20] == list(range(20))
    assert sorted(picks) == list(range(120))


def test_dropout_passes_as_uncertainty():
    pool = outputs(100, mc_logits=randn(10, 100, 4, seed=7))
    strategy = UHerding(BALD(), sigma=0.5)
    assert (strategy.needs, strategy.mc_samples, strategy.name) == ({"mc_logits", "embeddings"}, 10, "UHerding-BALD")
    labeled = outputs(10, seed=5, first=1000, mc_logits=randn(10, 10, 4))
    weight = BALD().score(pool, 0).double().numpy()
    assert selected(strategy, pool, labeled, 20) == greedy(pool, labeled, 20, weight, 0.5)


@pytest.mark.parametrize(
    ("key", "value"), [("sigma", 0.0), ("sigma", -1.0), ("temperature", 0.0), ("temperature", float("inf"))]
)
def test_numbers_that_are_not_above_zero_are_refused(key, value):
    with pytest.raises(ValueError, match=rf"query\.{key} must be a number above 0"):
        UHerding(**{key: value})


def test_needs():
    strategy = UHerding()
    assert (strategy.needs, strategy.needs_prototypes, strategy.name) == ({"embeddings", "logits"}, False, "UHerding")
    assert (UHerding(MSAL()).needs_prototypes, UHerding(MSAL()).min_classes) == (True, MSAL.min_classes)
