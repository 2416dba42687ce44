"""BatchBALD against the joint entropy of all combinations of labels, enumerated one by one."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from msal_lightning import select_indices
from msal_lightning.strategies import BALD, BatchBALD, shared
from msal_lightning.strategies.batchbald import _Batch
from msal_lightning.strategies.outputs import PoolOutputs

SURE = 1e4


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_pool(mc_logits):
    mc_logits = torch.as_tensor(mc_logits, dtype=torch.float32)
    return PoolOutputs(torch.arange(mc_logits.shape[1]), mc_logits=mc_logits)


def draw(passes, rows, num_classes, seed=0, scale=2.0):
    return scale * torch.randn(passes, rows, num_classes, generator=generator(seed))


def selected(pool, n, seed=0, **options):
    options = {"mc_samples": len(pool.mc_logits), "beta": 100} | options
    return select_indices(BatchBALD(**options), [pool], None, n, generator(seed)).tolist()


def probabilities(mc_logits):
    x = np.asarray(mc_logits, dtype=np.float64)
    x = np.exp(x - x.max(axis=2, keepdims=True))
    return x / x.sum(axis=2, keepdims=True)


def entropy(p):
    return -sum(q * math.log(q) for q in p if q > 0)


def joint_entropy(p, rows):
    """Of the labels of these rows, whose probabilities (T, N, C) are independent given the pass."""
    passes, _, num_classes = p.shape
    return entropy(
        [
            sum(math.prod(p[t, row, y] for row, y in zip(rows, labels, strict=True)) for t in range(passes)) / passes
            for labels in product(range(num_classes), repeat=len(rows))
        ]
    )


def information(p, rows):
    given_pass = sum(entropy(p[t, row]) for t in range(len(p)) for row in rows) / len(p)
    return joint_entropy(p, rows) - given_pass


def greedy(p, n):
    picks = []
    for _ in range(n):
        left = [row for row in range(p.shape[1]) if row not in picks]
        gains = [information(p, [*picks, row]) for row in left]
        assert n == 1 or np.sort(gains)[-1] - np.sort(gains)[-2] > 1e-5, "float32 could mix up these rows"
        picks.append(left[int(np.argmax(gains))])
    return picks


@pytest.mark.parametrize("block", [10, 8_000_000])
@pytest.mark.parametrize(("passes", "num_classes", "rows", "n"), [(4, 3, 12, 3), (2, 2, 10, 4), (10, 4, 8, 3)])
def test_picks_are_those_of_all_combinations(monkeypatch, block, passes, num_classes, rows, n):
    monkeypatch.setattr(shared.distances, "_BLOCK", block)
    for seed in range(4):
        mc_logits = draw(passes, rows, num_classes, seed)
        assert selected(make_pool(mc_logits), n) == greedy(probabilities(mc_logits), n)


def test_joint_information_differs_from_the_sum_of_bald():
    different = [greedy(probabilities(draw(4, 12, 3, seed)), 3) for seed in range(4)]
    by_bald = [select_indices(BALD(4), [make_pool(draw(4, 12, 3, seed))], None, 3, generator()) for seed in range(4)]
    assert different != [picks.tolist() for picks in by_bald]  # else the tests here would not see BatchBALD at all


@pytest.mark.parametrize("configurations", [1000, 8])
def test_one_of_two_copies_is_bought(configurations):
    # Rows 0 and 1: passes 0-3 against 4-7. Row 2: even against odd passes, with a few doubts.
    half, even = (torch.arange(8) < 4).long(), (torch.arange(8) % 2).long()
    sure, unsure = 10 * torch.eye(2), 4 * torch.eye(2)
    mc_logits = torch.stack([sure[half], sure[half], unsure[even], torch.zeros(8, 2)], dim=1)
    pool = make_pool(mc_logits)
    assert select_indices(BALD(8), [pool], None, 2, generator()).tolist() == [0, 1]
    assert selected(pool, 2, configurations=configurations) == [0, 2]
    assert selected(pool, 4, configurations=configurations)[:2] == [0, 2]


def test_first_pick_has_the_highest_bald():
    pool = make_pool(draw(6, 40, 5))
    assert selected(pool, 1) == select_indices(BALD(6), [pool], None, 1, generator()).tolist()


@pytest.mark.parametrize("chosen", [[], [3], [3, 0], [1, 4, 2]])
def test_entropy_of_the_next_label_is_exact_while_combinations_are_few(chosen):
    mc_logits = draw(4, 6, 3, seed=5)
    mc_logits[2, :, 0] = -torch.inf  # a class that one pass rules out
    mc_logits[:, 4, 2] = -torch.inf  # one that all do: combinations with it are impossible
    p = probabilities(mc_logits)
    one = generator()
    state = one.get_state()
    batch = _Batch(torch.as_tensor(p).float(), 27, one)
    for row in chosen:
        batch.add(row)
    expected = [joint_entropy(p, [*chosen, row]) - joint_entropy(p, chosen) for row in range(6)]
    np.testing.assert_allclose(batch.entropy_of_next(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(one.get_state(), state)  # nothing was drawn


@pytest.mark.parametrize("limit", [26, 4, 9])
def test_entropy_of_the_next_label_is_right_on_average_once_combinations_are_drawn(limit):
    p = probabilities(draw(4, 6, 3, seed=5))
    chosen = [1, 4, 2]  # 27 combinations
    expected = [joint_entropy(p, [*chosen, row]) - joint_entropy(p, chosen) for row in range(6)]
    estimates = []
    for seed in range(400):
        batch = _Batch(torch.as_tensor(p).float(), limit, generator(seed))
        for row in chosen:
            batch.add(row)
        estimates.append(batch.entropy_of_next().double().numpy())
        assert len(batch.log_given) == limit // 4 * 4
    error = np.std(estimates, axis=0) / math.sqrt(400)
    assert (error > 1e-4).any()
    assert (np.abs(np.mean(estimates, axis=0) - expected) < 4.5 * error + 1e-5).all()


def test_many_drawn_combinations_come_close():
    p = probabilities(draw(5, 8, 4, seed=2, scale=3.0))
    chosen = [0, 1, 2, 3, 4]  # 1,024 combinations
    batch = _Batch(torch.as_tensor(p).float(), 1000, generator())
    for row in chosen:
        batch.add(row)
    expected = [joint_entropy(p, [*chosen, row]) - joint_entropy(p, chosen) for row in range(8)]
    np.testing.assert_allclose(batch.entropy_of_next(), expected, atol=0.05)


def test_drawn_labels_are_those_of_their_pass():
    # Each pass is sure of its own class: every further label is known once one is.
    p = torch.eye(5)[:, None].expand(5, 4, 5).contiguous()
    batch = _Batch(p, 20, generator())
    for row in range(4):
        expected = math.log(5) if row == 0 else 0
        np.testing.assert_allclose(batch.entropy_of_next(), [expected] * 4, atol=1e-5)
        batch.add(row)
    assert torch.equal(batch.drawn_from, torch.arange(5).repeat_interleave(4))
    assert torch.equal(batch.log_given.argmax(dim=1), batch.drawn_from)


def test_generator_decides_what_is_drawn():
    pool = make_pool(draw(20, 60, 6, scale=4.0))
    batches = {seed: selected(pool, 15, seed, configurations=20) for seed in range(5)}
    assert all(len(set(picks)) == 15 for picks in batches.values())
    assert len({tuple(picks) for picks in batches.values()}) > 1
    assert selected(pool, 15, 3, configurations=20) == batches[3]


@pytest.mark.parametrize("configurations", [4, 1000])
def test_sure_passes_give_finite_answers(configurations):
    sure = SURE * torch.eye(3)
    agreeing = make_pool(sure[torch.zeros(4, 12, dtype=torch.long)])
    assert sorted(selected(agreeing, 12, configurations=configurations)) == list(range(12))
    votes = torch.randint(3, (4, 12), generator=generator())
    picks = selected(make_pool(sure[votes]), 12, configurations=configurations)
    assert sorted(picks) == list(range(12))
    p = probabilities(sure[votes])
    for size in range(3 if configurations > 4 else 1):  # later ones are estimates
        best = max(information(p, [*picks[:size], row]) for row in range(12) if row not in picks[:size])
        assert information(p, picks[: size + 1]) == pytest.approx(best, abs=1e-5)


def test_prefilter_keeps_the_highest_bald():
    mc_logits = draw(4, 40, 3)
    best = select_indices(BALD(4), [make_pool(mc_logits)], None, 6, generator()).tolist()
    assert sorted(selected(make_pool(mc_logits), 6, beta=1)) == sorted(best)
    assert set(selected(make_pool(mc_logits), 2, beta=3)) <= set(best)
    kept = sorted(best)
    expected = greedy(probabilities(mc_logits[:, kept]), 2)
    assert selected(make_pool(mc_logits), 2, beta=2.9) == [kept[row] for row in expected]


def test_memory_is_a_block(monkeypatch, largest_tensor):
    monkeypatch.setattr(shared.distances, "_BLOCK", 20_000)
    pool = make_pool(draw(10, 200, 5))
    with largest_tensor() as largest:
        BatchBALD(10, configurations=500).select(pool, None, 8, generator())
    assert largest.numel <= 20_000  # unblocked: 500 · 200 · 5


def test_needs_and_defaults():
    strategy = BatchBALD()
    assert (strategy.name, strategy.needs, strategy.mc_samples) == ("BatchBALD", {"mc_logits"}, 100)
    assert (strategy.configurations, strategy.shortlist_size(7)) == (1000, 70)
    assert BatchBALD(20, 2.5).shortlist_size(3) == 8
    assert (BatchBALD(20).mc_samples, BatchBALD(20).uncertainty.mc_samples) == (20, 20)
    assert BatchBALD(20, configurations=20).configurations == 20


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mc_samples": 1}, r"query\.mc_samples must be at least 2, got 1"),
        ({"mc_samples": 0}, r"query\.mc_samples must be at least 2, got 0"),
        ({"beta": 0.5}, r"query\.beta must be a number of at least 1, got 0\.5"),
        ({"beta": math.nan}, r"query\.beta must be a number of at least 1, got nan"),
        ({"configurations": 99}, r"query\.configurations must be at least query\.mc_samples \(100\), got 99"),
    ],
)
def test_options_out_of_range_are_refused(options, expected):
    with pytest.raises(ValueError, match=expected):
        BatchBALD(**options)
