"""Every score of several dropout passes against a loop over rows in plain Python."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch

from msal_lightning import select_indices
from msal_lightning.strategies import BALD, Entropy, LeastConfidence, Margin, MeanSTD, VariationRatio
from msal_lightning.strategies.outputs import PoolOutputs

SURE = 1e4  # a logit: all other classes have a probability of exactly 0


def softmax(row):
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def mean_of_passes(passes):
    return [mean(column) for column in zip(*map(softmax, passes), strict=True)]


def entropy_of(p):
    return -sum(q * math.log(q) for q in p if q > 0)


def least_confidence(passes):
    return 1 - max(mean_of_passes(passes))


def margin(passes):
    second, first = sorted(mean_of_passes(passes))[-2:]
    return 1 - (first - second)


def entropy(passes):
    return entropy_of(mean_of_passes(passes))


def bald(passes):
    return entropy(passes) - mean(entropy_of(softmax(row)) for row in passes)


def mean_std(passes):
    columns = list(zip(*map(softmax, passes), strict=True))
    return mean(math.sqrt(mean((p - mean(column)) ** 2 for p in column)) for column in columns)


def variation_ratio(passes):
    votes = Counter(row.index(max(row)) for row in passes)
    return 1 - max(votes.values()) / len(passes)


ORACLES = [
    pytest.param(LeastConfidence, least_confidence, id="LeastConfidence"),
    pytest.param(Margin, margin, id="Margin"),
    pytest.param(Entropy, entropy, id="Entropy"),
    pytest.param(BALD, bald, id="BALD"),
    pytest.param(MeanSTD, mean_std, id="MeanSTD"),
    pytest.param(VariationRatio, variation_ratio, id="VariationRatio"),
]
ALL = [param.values[0] for param in ORACLES]
DETERMINISTIC = ALL[:3]  # with an option of dropout
COMPARE = ALL[3:]  # have no meaning without dropout


def draw(passes, rows, num_classes, seed=0, scale=3.0):
    """(T, N, C) logits: passes that agree on some rows and not on others."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(1, rows, num_classes, generator=generator)
    own = torch.rand(1, rows, 1, generator=generator) * torch.randn(passes, rows, num_classes, generator=generator)
    return scale * (common + own)


def make_pool(mc_logits):
    mc_logits = torch.as_tensor(mc_logits, dtype=torch.float32)
    return PoolOutputs(torch.arange(mc_logits.shape[1]), mc_logits=mc_logits)


def scores(cls, mc_logits):
    mc_logits = torch.as_tensor(mc_logits, dtype=torch.float32)
    return cls(mc_samples=len(mc_logits)).score(make_pool(mc_logits), seed=0)


def score(cls, passes):
    """Of one row, given its logits in each pass."""
    return scores(cls, [[row] for row in passes]).item()


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("passes", [2, 5, 20])
@pytest.mark.parametrize(("cls", "oracle"), ORACLES)
def test_score_is_its_formula(cls, oracle, passes, num_classes):
    for scale in (0.01, 1.0, 20.0):
        mc_logits = draw(passes, 30, num_classes, scale=scale)
        got = scores(cls, mc_logits)
        assert got.dtype == torch.float32
        assert got.shape == (30,)
        expected = torch.tensor([oracle(rows) for rows in mc_logits.double().transpose(0, 1).tolist()])
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    ("cls", "expected"),
    list(zip(ALL, [0.5, 1.0, math.log(2), math.log(2), 0.5, 0.5], strict=True)),
)
def test_sure_passes_that_disagree_score_highest(cls, expected):
    opposite = [[[SURE, 0]], [[0, SURE]]]
    assert score(cls, [rows[0] for rows in opposite]) == pytest.approx(expected)
    others = torch.cat([draw(2, 50, 2, scale=0.3), torch.tensor([[[SURE, 0.0]]] * 2), torch.zeros(2, 1, 2)], dim=1)
    got = scores(cls, torch.cat([others, torch.tensor(opposite)], dim=1))
    assert torch.isfinite(got).all()
    assert got[-1] == got.max()


@pytest.mark.parametrize("cls", ALL)
def test_sure_passes_that_agree_score_zero(cls):
    assert score(cls, [[0, SURE, 0]] * 7) == 0
    assert score(cls, [[0, 200, -math.inf]] * 3) == 0  # a class that is ruled out


@pytest.mark.parametrize(("cls", "expected"), [(BALD, 0), (MeanSTD, 0), (VariationRatio, 0), (Entropy, math.log(3))])
def test_undecided_passes_agree(cls, expected):
    assert score(cls, [[0, 0, 0]] * 4) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("passes", [2, 3, 7, 10])
def test_bald_is_at_most_the_logarithm_of_the_passes(passes):
    assert score(BALD, (SURE * torch.eye(10)[:passes]).tolist()) == pytest.approx(math.log(passes), rel=1e-6)
    assert scores(BALD, draw(passes, 500, 10, scale=30.0)).max() <= math.log(passes) + 1e-6


def test_bald_is_never_negative():
    agreeing = torch.randn(1, 2000, 5, generator=torch.Generator().manual_seed(0)).expand(10, -1, -1)
    got = scores(BALD, agreeing)
    assert got.min() >= 0
    assert got.max() < 1e-6


def test_variation_ratio_counts_votes_and_not_probabilities():
    unsure, against = [0.01, 0.0], [0.0, 9.0]
    assert score(VariationRatio, [unsure] * 10) == 0  # least confidence: 0.4975
    assert score(VariationRatio, [unsure] * 7 + [against] * 3) == pytest.approx(0.3)  # the mean p votes the other way
    assert score(VariationRatio, [[3, 0, 0], [0, 3, 0], [0, 0, 3], [0, 0, 3]]) == 0.5


def test_probabilities_are_averaged_and_not_logits():
    # p = (1.0000, 0.0000) and (0.1192, 0.8808): the mean is (0.5596, 0.4404); the mean logits (10, 1) look certain
    passes = [[20, 0], [0, 2]]
    assert score(LeastConfidence, passes) == pytest.approx(0.440399, abs=1e-5)
    assert score(Margin, passes) == pytest.approx(0.880797, abs=1e-5)
    assert score(Entropy, passes) == pytest.approx(0.686030, abs=1e-5)


def test_entropy_is_of_the_mean_and_not_the_mean_entropy():
    assert score(Entropy, [[SURE, 0], [0, SURE]]) == pytest.approx(math.log(2))


def test_mean_std_is_that_of_the_population():
    assert score(MeanSTD, [[SURE, 0], [0, SURE]]) == pytest.approx(0.5)  # of a sample: 0.707
    # class 0: 1, 1, 0; class 1: 0, 0, 1; class 2: 0 throughout
    assert score(MeanSTD, [[SURE, 0, 0]] * 2 + [[0, SURE, 0]]) == pytest.approx(2 / 3 * math.sqrt(2 / 9))


@pytest.mark.parametrize("cls", ALL)
def test_order_of_the_passes_does_not_matter(cls):
    mc_logits = draw(6, 40, 4)
    torch.testing.assert_close(scores(cls, mc_logits.flip(0)), scores(cls, mc_logits), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("num_classes", [3, 10])
def test_score_of_a_row_does_not_depend_on_its_batch(cls, num_classes):
    mc_logits = draw(10, 101, num_classes)
    for size in (1, 8, 37):
        parts = [scores(cls, part) for part in mc_logits.split(size, dim=1)]
        assert torch.equal(torch.cat(parts), scores(cls, mc_logits))


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_scores_are_float32_whatever_the_logits(cls, dtype):
    pool = make_pool(draw(4, 20, 5))
    pool = replace(pool, mc_logits=pool.mc_logits.to(dtype))
    got = cls(mc_samples=4).score(pool, 0)
    assert got.dtype == torch.float32
    assert torch.equal(got, scores(cls, pool.mc_logits.float()))


@pytest.mark.parametrize("cls", ALL)
def test_rows_on_which_passes_disagree_are_bought(cls):
    sure = SURE * torch.eye(5)
    mc_logits = sure[torch.arange(200) % 5].repeat(10, 1, 1)
    planted = [3, 77, 199]
    mc_logits[:5, planted] = sure[[1, 1, 1]]
    pool = make_pool(mc_logits)
    queried = select_indices(cls(mc_samples=10), [pool], None, 3, torch.Generator().manual_seed(0))
    assert queried.tolist() == planted  # all three score the same: ties go to the lower index


@pytest.mark.parametrize("cls", DETERMINISTIC)
def test_passes_are_read_only_where_asked_for(cls):
    logits, mc_logits = torch.tensor([[SURE, 0], [0.0, 0.0]]), torch.tensor([[[0.0, 0.0], [SURE, 0]]] * 2)
    pool = PoolOutputs(torch.arange(2), logits=logits, mc_logits=mc_logits)
    plain, dropout = cls(), cls(mc_samples=2)
    assert plain.score(pool, 0).argmax() == 1
    assert dropout.score(pool, 0).argmax() == 0
    assert (plain.needs, plain.mc_samples, plain.name) == ({"logits"}, 0, cls.__name__)
    assert (dropout.needs, dropout.mc_samples, dropout.name) == ({"mc_logits"}, 2, f"{cls.__name__}D")


@pytest.mark.parametrize("cls", COMPARE)
def test_ten_passes_by_default(cls):
    assert (cls().needs, cls().mc_samples, cls().name) == ({"mc_logits"}, 10, cls.__name__)


@pytest.mark.parametrize(
    ("cls", "mc_samples"), [(cls, 1) for cls in ALL] + [(cls, -1) for cls in ALL] + [(cls, 0) for cls in COMPARE]
)
def test_too_few_passes_are_refused(cls, mc_samples):
    with pytest.raises(ValueError, match=rf"query\.mc_samples must be .*at least 2.*, got {mc_samples}"):
        cls(mc_samples=mc_samples)
