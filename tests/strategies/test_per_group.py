"""Any strategy spread over groups: the picks of a naive loop, turns, and what it passes on."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msal_lightning import select
from msal_lightning.errors import UserError
from msal_lightning.query.shortlist import StreamingShortlist
from msal_lightning.strategies import CEAL, KCenter, Margin, PerGroup
from msal_lightning.strategies.outputs import PoolOutputs


def naive(ranked, groups, n, most):
    """Go over the candidates in turns, with ``most`` of each group in a turn."""
    picked, left = [], list(ranked)
    while len(picked) < n:
        taken = dict.fromkeys(groups, 0)
        for row in [*left]:
            if taken[groups[row]] < most and len(picked) < n:
                taken[groups[row]] += 1
                picked.append(row)
                left.remove(row)
    return picked


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 20), st.integers(0, 9))
def test_picks_of_a_naive_loop(num_groups, most, n, seed):
    generator = np.random.default_rng(seed)
    groups = generator.integers(0, num_groups, 60)
    probabilities = generator.dirichlet(np.ones(3), 60)
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    ranked = np.argsort(first - second, kind="stable")[: 2 * n]
    found = select(PerGroup(Margin(), most, 2), n=n, probabilities=probabilities, groups=groups)
    assert found.tolist() == naive(ranked.tolist(), groups.tolist(), n, most)


def test_one_image_of_each_burst_where_the_best_scores_are_one_burst():
    logits = torch.cat([torch.zeros(30, 2), torch.tensor([[1.0, 0]]).repeat(30, 1)])  # the first 30 are uncertain
    groups = [0] * 30 + [1 + k // 10 for k in range(30)]
    alone = select("Margin", n=4, logits=logits).tolist()
    spread = select(PerGroup(beta=20), n=4, logits=logits, groups=np.array(groups)).tolist()
    assert [groups[row] for row in alone] == [0, 0, 0, 0]
    assert sorted(groups[row] for row in spread) == [0, 1, 2, 3]


def test_a_strategy_without_scores_is_spread_too():
    features = torch.arange(40.0)[:, None]
    groups = torch.arange(40) // 20
    found = select(PerGroup(KCenter(), beta=5), n=2, features=features, groups=groups)
    assert sorted(groups[found].tolist()) == [0, 1]


def test_pseudo_labels_are_those_of_the_other_strategy():
    logits = torch.cat([torch.zeros(5, 2), torch.tensor([[9.0, 0]]).repeat(5, 1)])
    pool = PoolOutputs(torch.arange(10), logits=logits)
    found = []
    for strategy in (CEAL(), PerGroup(CEAL())):
        running = StreamingShortlist(strategy, 2, torch.Generator(), 0, groups=torch.arange(10))
        running.add(pool)
        found.append(running.finish())
    assert torch.equal(found[0].index, found[1].index)
    assert torch.equal(found[0].pseudo_labels[0], found[1].pseudo_labels[0])
    assert len(found[0].pseudo_labels[0]) == 5


def test_wrong_values():
    with pytest.raises(UserError, match="expected groups, a number for each row, for PerGroup-Margin, got none"):
        select(PerGroup(), n=1, logits=torch.zeros(3, 2))
    with pytest.raises(UserError, match=r"one whole number for each of the 3 rows, got torch.float32 \(3,\)"):
        select(PerGroup(), n=1, logits=torch.zeros(3, 2), groups=torch.zeros(3))
    for wrong in ({"most": 0}, {"beta": 0.5}):
        with pytest.raises(ValueError, match="query"):
            PerGroup(**wrong)
