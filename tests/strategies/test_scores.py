"""Every score of one pass against a loop over rows in plain Python; what the package exports."""

import importlib
import inspect
import math
import pkgutil

import pytest
import torch

import msal_lightning.strategies
from msal_lightning import select_indices
from msal_lightning.errors import UserError
from msal_lightning.strategies import MSAL, Entropy, LeastConfidence, Margin, ScoreStrategy, Strategy
from msal_lightning.strategies.outputs import PoolOutputs

MODULES = [
    importlib.import_module(f"msal_lightning.strategies.{module.name}")
    for module in pkgutil.iter_modules(msal_lightning.strategies.__path__)
    if module.name not in ("base", "outputs", "rows", "shared")
]


def concrete(cls):
    """All subclasses of the package that can be made, however deep."""
    found = {cls} if cls.__module__.startswith("msal_lightning.") and not inspect.isabstract(cls) else set()
    return found.union(*map(concrete, cls.__subclasses__()))


ALL = sorted(concrete(Strategy), key=lambda cls: cls.__name__)
SCORES = [cls for cls in ALL if issubclass(cls, ScoreStrategy) and cls().needs == {"logits"}]


def softmax(row):
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


def least_confidence(row):
    return 1 - max(softmax(row))


def margin(row):
    second, first = sorted(softmax(row))[-2:]
    return 1 - (first - second)


def entropy(row):
    return -sum(p * math.log(p) for p in softmax(row) if p > 0)


def msal(row):
    """Eq. 2 for a point of the plane Σ = 0 in R^C, whose simplex is the centred unit vectors, scaled to length 1."""
    count = len(row)
    scale = math.sqrt(count / (count - 1))
    simplex = [[scale * ((i == c) - 1 / count) for i in range(count)] for c in range(count)]
    length = math.sqrt(sum(value * value for value in row))
    return 1 - max(sum(p * value for p, value in zip(prototype, row, strict=True)) / length for prototype in simplex)


ORACLES = [
    pytest.param(LeastConfidence, least_confidence, id="LeastConfidence"),
    pytest.param(Margin, margin, id="Margin"),
    pytest.param(Entropy, entropy, id="Entropy"),
    pytest.param(MSAL, msal, id="MSAL"),
]


def head_logits(rows, num_classes, seed=0, scale=3.0):
    """Logits that a prototype head could give: each row sums to zero; (N, C) float32."""
    x = scale * torch.randn(rows, num_classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x - x.mean(dim=1, keepdim=True)).float()


def scores(cls, logits):
    return cls().score(PoolOutputs(torch.arange(len(logits)), logits=logits), seed=0)


def generator(seed=7):
    return torch.Generator().manual_seed(seed)


# Formulas


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
@pytest.mark.parametrize(("cls", "oracle"), ORACLES)
def test_score_is_its_formula(cls, oracle, num_classes):
    for scale in (0.01, 1.0, 20.0):
        logits = head_logits(40, num_classes, scale=scale)
        got = scores(cls, logits)
        assert got.dtype == torch.float32
        assert got.shape == (40,)
        expected = torch.tensor([oracle(row) for row in logits.double().tolist()])
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("num_classes", [3, 10, 1000])
@pytest.mark.parametrize("cls", [LeastConfidence, Margin, Entropy])
def test_saturated_logits_score_zero(cls, num_classes):
    logits = torch.zeros(4, num_classes)
    logits[range(4), [0, 1, 2, 0]] = torch.tensor([1000.0, 1e4, 1e30, 200.0])
    logits[3, 1] = -torch.inf  # a class that is ruled out: p is exactly 0
    assert scores(cls, logits).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("cls", "expected"), [(LeastConfidence, 2 / 3), (Margin, 1.0), (Entropy, math.log(3)), (MSAL, 1.0)]
)
def test_all_zero_logits_are_finite_and_uncertain(cls, expected):
    assert scores(cls, torch.zeros(1, 3)).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("num_classes", [3, 10, 20, 33, 100])  # 20: without care, rounding gives a cosine of 1.0000001
def test_msal_is_zero_and_never_below_on_a_prototype(num_classes):
    for magnitude in (1e-3, 0.7, 1.0, 3.1, 1e3):
        logits = magnitude * (torch.eye(num_classes) - 1 / num_classes)
        got = scores(MSAL, logits)
        assert got.min() >= 0
        assert got.max() < 1e-6


@pytest.mark.parametrize("cls", SCORES)
def test_scores_are_not_negative_and_finite(cls):
    for scale in (1e-6, 1.0, 1e3, 1e20):
        for num_classes in (3, 10, 129):
            got = scores(cls, head_logits(200, num_classes, scale=scale))
            assert torch.isfinite(got).all()
            assert got.min() >= 0


@pytest.mark.parametrize("cls", SCORES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_scores_are_float32_whatever_the_logits(cls, dtype):
    logits = head_logits(20, 5).to(dtype)
    assert scores(cls, logits).dtype == torch.float32
    assert torch.equal(scores(cls, logits), scores(cls, logits.float()))


@pytest.mark.parametrize("cls", SCORES)
@pytest.mark.parametrize("num_classes", [3, 10, 33])
def test_score_of_a_row_does_not_depend_on_its_batch(cls, num_classes):
    logits = head_logits(101, num_classes)
    for size in (1, 8, 37):
        assert torch.equal(scores(cls, logits), torch.cat([scores(cls, part) for part in logits.split(size)]))


@pytest.mark.parametrize("cls", SCORES)
def test_planted_uncertain_rows_come_first(cls):
    num_classes = 5
    at_prototype = torch.eye(num_classes) - 1 / num_classes
    labels = torch.arange(300) % num_classes
    logits = 10 * at_prototype[labels] + 0.1 * head_logits(300, num_classes)
    planted = [17, 123, 124, 299]
    logits[planted] = -at_prototype[[0, 1, 2, 4]]  # opposite a prototype: as far from all others as can be
    pool = PoolOutputs(torch.arange(300), logits=logits)
    assert sorted(select_indices(cls(), [pool], None, 4, generator()).tolist()) == planted


# What is in the package


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_module_has_its_class_exported(module):
    exported = msal_lightning.strategies.__all__
    public = [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]
    assert public
    assert set(public) <= set(exported)
    assert all(getattr(msal_lightning.strategies, name) is getattr(module, name) for name in public)


@pytest.mark.parametrize("cls", [cls for cls in ALL if cls().min_classes > 2])
def test_too_few_classes_are_refused(cls):
    strategy = cls()
    pool = PoolOutputs(torch.arange(20), logits=head_logits(20, strategy.min_classes - 1))
    with pytest.raises(UserError, match=f"needs at least {strategy.min_classes} classes"):
        select_indices(strategy, [pool], None, 3, generator())
