"""SEALS against its strategy on the neighbours that a matrix of all distances gives."""

import pytest
import torch
import torch.nn.functional as F

from msal_lightning import select_indices
from msal_lightning.strategies import (
    BALD,
    CEAL,
    MSALD,
    SEALS,
    Entropy,
    KCenter,
    Margin,
    MaxHerding,
    PowerAcquisition,
    Random,
    TypiClust,
    shared,
)
from msal_lightning.strategies.outputs import PoolOutputs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def outputs(rows, seed, first=0):
    made = generator(seed)
    logits = torch.randn(rows, 4, generator=made)
    return PoolOutputs(
        first + torch.arange(rows),
        embeddings=torch.randn(rows, 3, generator=made) * torch.rand(rows, 1, generator=made),
        logits=logits - logits.mean(dim=1, keepdim=True),
        mc_logits=torch.randn(10, rows, 4, generator=made),
    )


POOL, LABELED = outputs(200, 0), outputs(6, 1, first=1000)


def selected(strategy, pool=POOL, labeled=LABELED, n=8):
    return select_indices(strategy, [pool], labeled, n, generator()).tolist()


def neighbours(k):
    x, known = (F.normalize(part.embeddings.double(), dim=1) for part in (POOL, LABELED))
    return torch.cdist(known, x).topk(k, largest=False).indices.unique()


@pytest.mark.parametrize("tile", [7, 2048])
@pytest.mark.parametrize("k", [1, 5, 30, 200])
def test_candidates_are_the_nearest_neighbours(monkeypatch, k, tile):
    monkeypatch.setattr(shared.nearest_neighbours, "_TILE", tile)
    found = shared.nearest_neighbours.nearest_neighbours(POOL.embeddings, LABELED.embeddings, k)
    assert found.shape == (6, k)
    assert found.unique().tolist() == neighbours(k).tolist()


@pytest.mark.parametrize("inner", [Entropy, Margin, MSALD, KCenter, MaxHerding, TypiClust, BALD])
def test_the_strategy_selects_among_the_neighbours(inner):
    rows = neighbours(10)
    assert selected(SEALS(inner(), k=10)) == selected(inner(), POOL.rows(rows))
    assert len(rows) < 60


@pytest.mark.parametrize("inner", [Random(), PowerAcquisition()])
def test_random_draws_come_from_the_query_stream(inner):
    strategy = SEALS(inner, k=10)
    first = select_indices(strategy, [POOL], LABELED, 8, generator(0)).tolist()
    assert first == select_indices(strategy, [POOL], LABELED, 8, generator(0)).tolist()
    assert first != select_indices(strategy, [POOL], LABELED, 8, generator(1)).tolist()
    assert set(first) <= set(neighbours(10).tolist())


@pytest.mark.parametrize("labeled", [None, outputs(0, 1)], ids=["none", "empty"])
def test_without_labels_every_image_is_a_candidate(labeled):
    assert selected(SEALS(Margin()), labeled=labeled) == selected(Margin())


def test_too_few_neighbours_become_more():
    assert sorted(selected(SEALS(k=1), n=150)) == sorted(set(selected(SEALS(k=1), n=150)))
    assert len(selected(SEALS(k=1), n=200)) == 200


def test_names_and_needs():
    strategy = SEALS(MSALD(Margin()))
    assert strategy.name == "SEALS-MSALD-Margin"
    assert (strategy.needs, strategy.needs_prototypes, strategy.needs_labeled) == ({"logits", "embeddings"}, True, True)
    assert (SEALS(Random()).needs, SEALS(BALD()).mc_samples) == ({"embeddings"}, 10)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"query\.k must be at least 1, got 0"):
        SEALS(k=0)
    with pytest.raises(ValueError, match=r"query\.strategy must make no pseudo-labels, got CEAL-Entropy"):
        SEALS(CEAL())
