"""The running shortlist against a plain sort of the whole pool."""

import re
from dataclasses import replace

import pytest
import torch

from msal_lightning import select_indices
from msal_lightning.errors import UserError
from msal_lightning.query.shortlist import StreamingShortlist
from msal_lightning.strategies import (
    BADGE,
    CEAL,
    MSALD,
    Entropy,
    KCenter,
    Margin,
    PowerAcquisition,
    Random,
    ScoreStrategy,
    Strategy,
    VariationRatio,
)
from msal_lightning.strategies.outputs import PoolOutputs


class FirstEmbedding(ScoreStrategy):
    """The score is written in the embeddings, so that a test decides it."""

    needs = frozenset({"embeddings"})

    def score(self, pool, seed):
        return pool.require("embeddings")[:, 0]


class Logarithm(FirstEmbedding):
    """A score that is no number for finite embeddings of 0 or less."""

    def score(self, pool, seed):
        return super().score(pool, seed).log()


class Noise(ScoreStrategy):
    """A score that is nothing but noise, drawn per row from (seed, index)."""

    needs = frozenset({"embeddings"})

    def score(self, pool, seed):
        return (((pool.index + 1) * 40503 + seed * 9973) * 65537 % 10007).float()


class Broken(Strategy):
    """Returns the rows that it was made with."""

    def __init__(self, rows):
        self.rows = torch.tensor(rows) if rows else torch.empty(0, dtype=torch.int64)

    def shortlist_size(self, n):
        return None

    def select(self, shortlist, labeled, n, generator):
        return self.rows


class WhatItSaw(Strategy):
    """Keeps the shortlist that it was shown."""

    def shortlist_size(self, n):
        return None

    def select(self, shortlist, labeled, n, generator):
        self.shortlist, self.labeled = shortlist, labeled
        return torch.arange(n)


def make_pool(scores, seed=0):
    """Rows with the given scores under shuffled indices that are no row numbers."""
    scores = torch.as_tensor(scores, dtype=torch.float32)
    index = 11 + 2 * torch.randperm(len(scores), generator=torch.Generator().manual_seed(seed))
    return PoolOutputs(index, embeddings=scores[:, None])


def ties(rows, seed=0, values=20):
    return torch.randint(values, (rows,), generator=torch.Generator().manual_seed(seed))


def batches(pool, size):
    return [pool.rows(rows) for rows in torch.arange(len(pool)).split(size)]


def naive(index, scores, n):
    return [i for _, i in sorted((-score, i) for i, score in zip(index.tolist(), scores.tolist(), strict=True))][:n]


def selected(strategy, batches, n, seed=0):
    return select_indices(strategy, batches, None, n, torch.Generator().manual_seed(seed)).tolist()


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize("n", [1, 10, 299, 300, 500])
def test_score_strategy_is_a_sort_with_ties_by_index(batch_size, n):
    pool = make_pool(ties(300))
    got = selected(FirstEmbedding(), batches(pool, batch_size), n)
    assert got == naive(pool.index, pool.embeddings[:, 0], n)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_entropy_of_copied_rows_breaks_ties_by_index(batch_size):
    logits = torch.randn(15, 10, generator=torch.Generator().manual_seed(0))[ties(300, values=15)]
    pool = PoolOutputs(make_pool(ties(300)).index, logits=logits)
    entropies = (-logits.double().softmax(1) * logits.double().log_softmax(1)).sum(1)
    got = selected(Entropy(), batches(pool, batch_size), 40)
    assert got == naive(pool.index, entropies.round(decimals=5), 40)


@pytest.mark.parametrize("strategy", [FirstEmbedding(), Noise(), MSALD(), Random()], ids=lambda s: s.name)
def test_order_of_the_pool_does_not_matter(strategy):
    logits = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))[ties(200, values=40)]
    index = make_pool(ties(200)).index
    outputs = {"logits": logits, "embeddings": ties(200)[:, None].float()}
    pool = PoolOutputs(index, **{name: outputs[name] for name in strategy.needs})
    expected = selected(strategy, [pool], 17)
    for seed in range(4):
        order = torch.randperm(200, generator=torch.Generator().manual_seed(seed))
        assert selected(strategy, batches(pool.rows(order), 9 + seed), 17) == expected


@pytest.mark.parametrize("order", ["shuffled", "ascending", "descending", "constant"])
def test_large_pool_is_exact_in_bounded_memory(order):
    rows, n, batch_size = 50_000, 10, 500
    scores = {
        "shuffled": ties(rows, values=5000),
        "ascending": torch.arange(rows) // 3,
        "descending": torch.arange(rows, 0, -1) // 3,
        "constant": torch.zeros(rows),
    }[order]
    pool = make_pool(scores)
    running = StreamingShortlist(FirstEmbedding(), n, torch.Generator())
    for batch in batches(pool, batch_size):
        running.add(batch)
        assert running._held == sum(map(len, running._parts))
        assert running._held < 2 * running.size + 4096 + batch_size
    selection = running.finish()
    assert selection.index.tolist() == naive(pool.index, pool.embeddings[:, 0], n)
    by_index = dict(zip(pool.index.tolist(), pool.embeddings[:, 0].tolist(), strict=True))
    assert selection.score.tolist() == [by_index[i] for i in selection.index.tolist()]


def test_large_pool_of_a_shortlist_strategy_keeps_the_shortlist():
    class Shortlist(FirstEmbedding):
        """Buys the least uncertain of a shortlist of 3n."""

        def shortlist_size(self, n):
            return 3 * n

        def select(self, shortlist, labeled, n, generator):
            assert len(shortlist) == 3 * n
            assert (shortlist.index.diff() > 0).all()
            return torch.argsort(shortlist.score, stable=True)[:n]

    pool = make_pool(torch.randperm(20_000, generator=torch.Generator().manual_seed(1)))
    by_score = naive(pool.index, pool.embeddings[:, 0], 30)
    assert selected(Shortlist(), batches(pool, 333), 10) == by_score[:-11:-1]


@pytest.mark.parametrize("bad", [-1.0, 0.0])  # NaN and infinite
def test_score_that_is_not_finite_is_refused(bad):
    scores = 1 + ties(100).float()
    scores[63] = bad
    expected = (
        "expected finite scores from query Logarithm, got 1 of 10 that are NaN or infinite although the model's "
        "outputs are finite: correct Logarithm.score(), or the uncertainty that it builds on"
    )
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        selected(Logarithm(), batches(make_pool(scores), 10), 5)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    "strategy",
    [MSALD(), Entropy(), PowerAcquisition(), PowerAcquisition(Margin()), VariationRatio(), CEAL(), KCenter(), BADGE()],
    ids=lambda s: s.name,
)
def test_an_output_that_is_no_number_is_refused_wherever_it_stands(strategy, bad):
    """Also in a row that no score would take into the shortlist: argmax and comparisons hide it."""
    shapes = {"logits": (100, 4), "embeddings": (100, 4), "mc_logits": (strategy.mc_samples, 100, 4)}
    for name in strategy.needs:
        outputs = {need: torch.randn(shapes[need]) for need in strategy.needs}
        outputs[name].select(-2, 63)[..., 1] = bad
        pool = PoolOutputs(torch.arange(100), **outputs)
        with pytest.raises(UserError, match=f"expected finite {name} for query {strategy.name}, .*diverged"):
            selected(strategy, batches(pool, 10), 5)


def test_an_uncertainty_that_is_no_number_is_not_certain():
    """PowerAcquisition compares its uncertainty with 0, and NaN is neither above nor below."""
    scores = 1 + ties(100).float()
    scores[63] = -1
    with pytest.raises(UserError, match="expected finite scores from query PowerLogarithm, got 1 of 10"):
        selected(PowerAcquisition(Logarithm()), batches(make_pool(scores), 10), 5)


def test_a_labeled_set_that_is_no_number_is_refused():
    pool, labeled = make_pool(ties(20)), PoolOutputs(torch.arange(3), embeddings=torch.full((3, 1), torch.nan))
    with pytest.raises(UserError, match="expected finite embeddings for query WhatItSaw"):
        select_indices(WhatItSaw(), [pool], labeled, 5, torch.Generator())


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([0, 1, 1], "3 different rows, got 2", id="twice"),
        pytest.param([0, 1, 10], "rows of the shortlist, 0 to 9, got 0 to 10", id="too-high"),
        pytest.param([0, 1, -1], "rows of the shortlist, 0 to 9, got -1 to 1", id="negative"),
        pytest.param([0, 1], r"\(3,\) int64 rows, got \(2,\)", id="too-few"),
        pytest.param([0, 1, 2, 3], r"\(3,\) int64 rows, got \(4,\)", id="too-many"),
        pytest.param([], r"\(3,\) int64 rows, got \(0,\)", id="none"),
        pytest.param([[0, 1, 2]], r"\(3,\) int64 rows, got \(1, 3\)", id="two-dimensional"),
        pytest.param([0.0, 1.0, 2.0], r"\(3,\) int64 rows, got \(3,\) torch.float32", id="not-integers"),
    ],
)
def test_rows_against_the_contract_are_refused(rows, expected):
    with pytest.raises(RuntimeError, match=rf"Broken\.select\(\) must return {expected}"):
        selected(Broken(rows), [PoolOutputs(torch.arange(10))], 3)


def test_rows_become_dataset_indices_in_the_order_given():
    pool = PoolOutputs(torch.tensor([50, 10, 40, 20, 30]))
    assert selected(Broken([4, 0, 2]), batches(pool, 2), 3) == [50, 10, 30]


def test_select_sees_rows_by_ascending_index_and_the_labeled_set():
    strategy, labeled = WhatItSaw(), PoolOutputs(torch.arange(3), embeddings=torch.ones(3, 1))
    pool = make_pool(ties(100))
    select_indices(strategy, batches(pool, 7), labeled, 5, torch.Generator())
    order = pool.index.argsort()
    assert torch.equal(strategy.shortlist.index, pool.index[order])
    assert torch.equal(strategy.shortlist.embeddings, pool.embeddings[order])
    assert strategy.labeled is labeled


def test_a_pool_with_labels_is_refused():
    pool = replace(make_pool(ties(9)), labels=torch.zeros(9, dtype=torch.int64))
    with pytest.raises(ValueError, match="expected a pool without labels"):
        selected(FirstEmbedding(), [pool], 3)


def test_parts_and_rows_keep_labels_and_the_number_of_classes():
    outputs = PoolOutputs(torch.arange(9), labels=torch.arange(9) % 4, num_classes=5)
    whole = PoolOutputs.cat(batches(outputs, 2)).rows(torch.tensor([8, 1, 7]))
    assert (whole.labels.tolist(), whole.require_num_classes()) == ([0, 1, 3], 5)
    assert PoolOutputs(torch.arange(9), logits=torch.zeros(9, 3)).num_classes == 3
    with pytest.raises(UserError, match="expected num_classes, the number of classes, got none"):
        PoolOutputs(torch.arange(9)).require_num_classes()


@pytest.mark.parametrize("strategy", [FirstEmbedding(), MSALD(), Random()], ids=lambda s: s.name)
def test_empty_pool_gives_nothing(strategy):
    none = PoolOutputs(torch.empty(0, dtype=torch.int64), logits=torch.empty(0, 4), embeddings=torch.empty(0, 1))
    for pool in ([], [none], [none, none]):
        got = select_indices(strategy, pool, None, 5, torch.Generator())
        assert got.dtype == torch.int64
        assert got.shape == (0,)


def test_empty_batches_in_between_change_nothing():
    pool = make_pool(ties(100))
    parts = batches(pool, 10)
    assert selected(FirstEmbedding(), [pool.rows(torch.arange(0)), *parts, pool.rows(torch.arange(0))], 9) == selected(
        FirstEmbedding(), parts, 9
    )


@pytest.mark.parametrize("strategy", [FirstEmbedding(), MSALD(), Random()], ids=lambda s: s.name)
def test_buying_nothing_gives_nothing(strategy):
    pool = PoolOutputs(torch.arange(6), logits=torch.randn(6, 4), embeddings=torch.randn(6, 1))
    assert selected(strategy, [pool], 0) == []


def test_random_needs_the_indices_only_and_follows_its_seed():
    pool = PoolOutputs(make_pool(ties(200)).index)
    answers = [selected(Random(), batches(pool, size), 20, seed=5) for size in (1, 7, 1000)]
    assert answers[0] == answers[1] == answers[2]
    assert len(set(answers[0])) == 20
    assert set(answers[0]) <= set(pool.index.tolist())
    assert selected(Random(), [pool], 20, seed=6) != answers[0]


def test_random_is_uniform():
    pool = PoolOutputs(torch.arange(10))
    counts = [0] * 10
    for seed in range(1000):
        for i in selected(Random(), [pool], 3, seed):
            counts[i] += 1
    assert all(225 < count < 375 for count in counts)  # 300 each, 5 standard deviations of 14.5


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("batch_size", [1, 13, 1000])
def test_noise_per_seed_and_index_gives_one_answer_for_any_batches(seed, batch_size):
    pool = make_pool(ties(300))
    noise = {i: ((i + 1) * 40503 + seed * 9973) * 65537 % 10007 for i in pool.index.tolist()}
    expected = sorted(noise, key=lambda i: (-noise[i], i))[:25]
    assert selected(Noise(), batches(pool, batch_size), 25, seed) == expected
