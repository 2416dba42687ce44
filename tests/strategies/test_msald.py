"""MSAL-D against Algorithm 1 written out in plain Python."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msal_lightning import select_indices
from msal_lightning.errors import UserError
from msal_lightning.strategies import MSAL, MSALD, Entropy, LeastConfidence, Margin
from msal_lightning.strategies.outputs import PoolOutputs

UNCERTAINTIES = [MSAL, Entropy, Margin, LeastConfidence]


def uncertainty_of(cls, row):
    if cls is MSAL:
        return -max(cosines(row))
    powers = [math.exp(value) for value in row]
    p = sorted(power / sum(powers) for power in powers)
    return {LeastConfidence: -p[-1], Margin: p[-2] - p[-1], Entropy: -sum(q * math.log(q) for q in p)}[cls]


def cosines(row):
    """Of a point of the plane Σ = 0 in R^C to the centred unit vectors, which are a simplex."""
    count = len(row)
    length = math.sqrt(sum(value * value for value in row)) * math.sqrt(1 - 1 / count)
    return [sum(((i == c) - 1 / count) * row[i] for i in range(count)) / length for c in range(count)]


def algorithm_1(index, logits, b, beta, cls):
    """Indices that the paper's Algorithm 1 buys, in the order in which it takes them."""
    logits = logits.double().tolist()
    num_classes = len(logits[0])
    # To 6 digits: with two classes every cosine is 1 or -1. Rows that are not copies are farther apart (make_pool).
    cos = [[round(value, 6) for value in cosines(row)] for row in logits]
    score = [round(uncertainty_of(cls, row), 6) for row in logits]
    shortlist = sorted(range(len(logits)), key=lambda i: (-score[i], index[i]))[: math.ceil(beta * b)]
    taken = []

    def closest(rows, c):
        return sorted(rows, key=lambda i: (-cos[i][c], -logits[i][c], index[i]))

    for c in range(num_classes):
        taken += closest([i for i in shortlist if i not in taken], c)[: b // num_classes]

    nearest = [row.index(max(row)) for row in logits]
    left = [i for i in shortlist if i not in taken]
    left.sort(key=lambda i: (-cos[i][nearest[i]], -logits[i][nearest[i]], index[i]))
    visited = set()
    for i in left:
        if len(taken) < b and nearest[i] not in visited:
            visited.add(nearest[i])
            taken.append(i)

    for i in shortlist:
        if len(taken) < b and i not in taken:
            taken.append(i)
    return [index[i] for i in taken]


def make_pool(seed, distinct, rows, num_classes, cls, skew=0.0):
    """Rows of a prototype head (each sums to zero), some of them copies, under shuffled indices.

    Drawn again until float32 cannot mix up the order of two rows that are not copies.
    """
    generator = torch.Generator().manual_seed(seed)
    while True:
        x = torch.randn(distinct, num_classes, generator=generator)
        x[:, 0] += skew
        logits = x - x.mean(dim=1, keepdim=True)
        exact = logits.double().tolist()
        # With two classes the cosine says nothing, and the logits that decide are the same numbers in both.
        columns = [] if num_classes == 2 else list(zip(*map(cosines, exact), strict=True))
        columns.append([uncertainty_of(cls, row) for row in exact])
        in_order = [sorted(column) for column in columns]
        gaps = [high - low for column in in_order for low, high in pairwise(column)]
        if min(gaps, default=1.0) > 2e-6:
            break
    copies = torch.cat([torch.arange(distinct), torch.randint(distinct, (rows - distinct,), generator=generator)])
    index = 5 + 3 * torch.randperm(rows, generator=generator)
    return PoolOutputs(index, logits=logits[copies])


def batches(pool, size):
    return [pool.rows(rows) for rows in torch.arange(len(pool)).split(size)]


def selected(strategy, pool, b, batch_size=1000):
    return select_indices(strategy, batches(pool, batch_size), None, b, torch.Generator().manual_seed(0)).tolist()


def check(pool, b, beta, cls, batch_size=1000):
    got = selected(MSALD(uncertainty=cls(), beta=beta), pool, b, batch_size)
    expected = algorithm_1(pool.index.tolist(), pool.logits, b, beta, cls)
    if b > len(pool):  # every row is queried: the order in which Algorithm 1 finds them says nothing
        assert sorted(got) == sorted(expected) == sorted(pool.index.tolist())
    else:
        assert got == expected


@pytest.mark.parametrize("cls", UNCERTAINTIES)
@pytest.mark.parametrize(
    ("num_classes", "b", "beta", "rows", "skew"),
    [
        pytest.param(5, 20, 3, 90, 0, id="divides"),
        pytest.param(5, 23, 2.5, 90, 0, id="does-not-divide"),
        pytest.param(10, 7, 4, 80, 0, id="fewer-than-classes"),
        pytest.param(10, 1, 5, 40, 0, id="buy-one"),
        pytest.param(4, 19, 1, 90, 0, id="beta-1"),
        pytest.param(4, 30, 2, 30, 0, id="whole-pool"),
        pytest.param(4, 50, 2, 30, 0, id="more-than-the-pool"),
        pytest.param(6, 20, 5, 25, 0, id="pool-within-shortlist"),
        pytest.param(3, 5, 10, 1, 0, id="one-row-left"),
        pytest.param(6, 5, 4, 60, 5, id="one-nearest-class-then-fill"),
        pytest.param(6, 11, 3, 60, 5, id="share-one-nearest-class-then-fill"),
    ],
)
def test_buys_what_algorithm_1_buys(cls, num_classes, b, beta, rows, skew):
    for seed in range(3):
        for distinct in {rows, (rows + 2) // 3}:  # without and with ties
            check(make_pool(seed, distinct, rows, num_classes, cls, skew), b, beta, cls)


@pytest.mark.parametrize("cls", [Margin, Entropy, LeastConfidence])
@pytest.mark.parametrize(("b", "beta", "rows"), [(10, 3, 70), (9, 2.5, 70), (1, 5, 30), (30, 2, 20), (4, 5, 1)])
@pytest.mark.parametrize("skew", [0, 6])
def test_two_classes_are_decided_by_the_logit(cls, b, beta, rows, skew):
    for distinct in {rows, (rows + 2) // 3}:
        check(make_pool(1, distinct, rows, 2, cls, skew), b, beta, cls)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
@pytest.mark.parametrize("order", ["as-is", "ascending", "descending", "shuffled"])
def test_answer_depends_neither_on_batches_nor_on_order(batch_size, order):
    pool = make_pool(0, 40, 150, 4, MSAL)
    expected = algorithm_1(pool.index.tolist(), pool.logits, 18, 3, MSAL)
    rows = {
        "as-is": torch.arange(150),
        "ascending": pool.index.argsort(),
        "descending": pool.index.argsort(descending=True),
        "shuffled": torch.randperm(150, generator=torch.Generator().manual_seed(3)),
    }[order]
    assert selected(MSALD(beta=3), pool.rows(rows), 18, batch_size) == expected


def test_worked_example_on_the_circle():
    # Three prototypes at 0, 120 and 240 degrees; each image lies at an angle, its distance to the nearest in brackets.
    angles = torch.tensor([58, 47, 79, 101, 183, 5, 236, 160.0])  # (58 47 41 19 57 5 4 40)
    at = torch.tensor([0, 120, 240.0])
    logits = torch.deg2rad(angles[:, None] - at).cos()
    pool = PoolOutputs(torch.arange(8), logits=logits)
    # ceil(1.5 · 4) = 6 most uncertain: 0 4 1 2 7 3. Nearest to 0°: 1. To 120°: 3. To 240°: 4.
    # One of 4 is left over: of 0 (58), 2 (41) and 7 (40), 7 is closest to its own prototype.
    assert selected(MSALD(beta=1.5), pool, 4) == [1, 3, 4, 7]


@settings(max_examples=60, deadline=None, database=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_classes=st.integers(2, 6),
    b=st.integers(1, 25),
    beta=st.sampled_from([1, 1.5, 2, 5]),
    distinct=st.integers(1, 25),
    copies=st.integers(0, 25),
    skew=st.sampled_from([0.0, 3.0]),
    cls=st.sampled_from(UNCERTAINTIES),
    batch_size=st.integers(1, 50),
)
def test_any_pool_gives_what_algorithm_1_gives(seed, num_classes, b, beta, distinct, copies, skew, cls, batch_size):
    cls = Margin if num_classes == 2 and cls is MSAL else cls
    check(make_pool(seed, distinct, distinct + copies, num_classes, cls, skew), b, beta, cls, batch_size)


@pytest.mark.parametrize("beta", [0.99, 0, -1, math.nan, math.inf])
def test_beta_below_one_is_refused(beta):
    with pytest.raises(ValueError, match=r"query\.beta must be a number of at least 1"):
        MSALD(beta=beta)


@pytest.mark.parametrize(("beta", "n", "size"), [(1, 7, 7), (2.5, 3, 8), (5, 40, 200), (1.01, 10, 11)])
def test_shortlist_is_beta_b_rounded_up(beta, n, size):
    assert MSALD(beta=beta).shortlist_size(n) == size


@pytest.mark.parametrize("strategy", [MSAL(), MSALD()], ids=lambda strategy: strategy.name)
def test_cosine_uncertainty_refuses_two_classes(strategy):
    pool = PoolOutputs(torch.arange(4), logits=torch.tensor([[1.0, -1.0]] * 4))
    with pytest.raises(UserError, match=r"MSALD with query\.uncertainty Margin"):
        selected(strategy, pool, 2)


# diversity="coverage"


def most_covering(x, rows, covered, n):
    """Rows of some rows that add most to the coverage of these rows, one at a time."""
    x = torch.nn.functional.normalize(x.double(), dim=1)
    near = torch.exp(-(torch.cdist(x[rows], x[rows]) ** 2))
    cover = torch.zeros(len(rows)).double()
    if covered:
        cover = torch.exp(-(torch.cdist(x[rows], x[covered]) ** 2)).amax(dim=1)
    taken = []
    for _ in range(min(n, len(rows))):
        gain = (near - cover[:, None]).clamp(min=0).sum(dim=0)
        gain[[rows.index(row) for row in taken]] = -1
        best = int((gain >= gain.max() * (1 - 1e-10)).nonzero()[0])
        taken.append(rows[best])
        cover = torch.maximum(cover, near[best])
    return taken


def covering(pool, b, beta, score):
    """What MSALD(diversity="coverage") selects, written out."""
    shortlist = sorted(sorted(range(len(pool)), key=lambda i: (-float(score[i]), i))[: math.ceil(beta * b)])
    num_classes = pool.logits.shape[1]
    taken = []
    for c in range(num_classes):
        rows = [i for i in shortlist if int(pool.logits[i].argmax()) == c]
        taken += most_covering(pool.embeddings, rows, [], b // num_classes)
    left = [i for i in shortlist if i not in taken]
    return taken + most_covering(pool.embeddings, left, taken, b - len(taken))


@pytest.mark.parametrize("b", [20, 23, 3], ids=["divides", "does-not-divide", "fewer-than-classes"])
@pytest.mark.parametrize(("cls", "skew"), [(MSAL, 0), (Margin, 0), (Margin, 5)], ids=["MSAL", "Margin", "rare-classes"])
def test_coverage_takes_what_covers_each_class_and_then_the_rest(cls, skew, b):
    pool = make_pool(1, 150, 150, 5, cls, skew)
    embeddings = torch.randn(150, 8, generator=torch.Generator().manual_seed(2))
    pool = PoolOutputs(torch.arange(150), logits=pool.logits, embeddings=embeddings)
    strategy = MSALD(cls(), beta=3, diversity="coverage")
    assert selected(strategy, pool, b, batch_size=40) == covering(pool, b, 3, cls().score(pool, 0))


def test_coverage_takes_copies_last():
    x = torch.eye(6).repeat_interleave(10, dim=0)
    pool = PoolOutputs(torch.arange(60), logits=torch.zeros(60, 2), embeddings=x)
    picks = selected(MSALD(Margin(), beta=5, diversity="coverage"), pool, 12)
    assert len({row // 10 for row in picks[:6]}) == 6
    assert len(set(picks)) == 12


def test_the_two_forms_differ_in_names_and_needs():
    nearest, coverage = MSALD(Margin()), MSALD(Margin(), diversity="coverage")
    assert (nearest.name, nearest.needs, nearest.needs_prototypes) == ("MSALD-Margin", {"logits"}, True)
    assert (coverage.name, coverage.needs, coverage.needs_prototypes) == (
        "MSALD-Margin-coverage",
        {"logits", "embeddings"},
        False,
    )
    assert (MSALD(diversity="coverage").name, MSALD(diversity="coverage").needs_prototypes) == ("MSALD-coverage", True)
    with pytest.raises(ValueError, match=r"query\.diversity must be nearest or coverage, got best"):
        MSALD(diversity="best")
