"""Every strategy of the package keeps to the contract, and the suite catches those that don't."""

import inspect
import random
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from msal_lightning import ScoreStrategy, Strategy
from msal_lightning.cli.main import main
from msal_lightning.datasets import Digits
from msal_lightning.query.conformance import CHECKS, check_strategy, run_check
from msal_lightning.strategies import (
    CEAL,
    DBAL,
    MSAL,
    MSALD,
    SEALS,
    BatchBALD,
    Entropy,
    KCenter,
    LeastConfidence,
    Margin,
    PowerAcquisition,
    ProbCover,
    UHerding,
    Uncertainty,
)
from msal_lightning.strategies.base import by_score


def concrete(cls):
    """All subclasses of the package that can be made, however deep."""
    found = {cls} if cls.__module__.startswith("msal_lightning.") and not inspect.isabstract(cls) else set()
    return found.union(*map(concrete, cls.__subclasses__()))


MAKERS = {cls.__name__: cls for cls in sorted(concrete(Strategy), key=lambda cls: cls.__name__)} | {
    "EntropyD": lambda: Entropy(mc_samples=5),
    "LeastConfidenceD": lambda: LeastConfidence(mc_samples=5),
    "MarginD": lambda: Margin(mc_samples=5),
    "CEAL-MSAL": lambda: CEAL(MSAL(), threshold=0.5),
    "DBAL-EntropyD": lambda: DBAL(Entropy(mc_samples=5), beta=3),
    "MSALD-PowerMarginD": lambda: MSALD(PowerAcquisition(Margin(mc_samples=5))),
    "BatchBALD sampled": lambda: BatchBALD(mc_samples=10, configurations=20),
    "MSALD coverage": lambda: MSALD(Margin(), diversity="coverage"),
    "UHerding-MSAL": lambda: UHerding(MSAL()),
    "SEALS-MSALD": lambda: SEALS(MSALD(), k=10),
    "ProbCover delta": lambda: ProbCover(delta=0.3),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", MAKERS)
def test_strategy_keeps_to_the_contract(name, check):
    result = run_check(check, MAKERS[name])
    assert result.outcome != "failed", result.note


# Broken strategies, each with the checks that must fail


class Score(ScoreStrategy):
    """A correct score, which the broken ones spoil."""

    def score(self, pool, seed):
        return 1 - pool.probabilities().amax(dim=1)


class Select(Strategy):
    """A correct choice by embeddings, which the broken ones spoil."""

    needs = frozenset({"embeddings"})

    def shortlist_size(self, n):
        return None

    def select(self, shortlist, labeled, n, generator):
        return shortlist.embeddings.norm(dim=1).argsort(descending=True, stable=True)[:n]


class WrongSign(Score):
    def score(self, pool, seed):
        return -super().score(pool, seed)


class WrongSignUncertainty(Uncertainty):
    def score(self, pool, seed):
        first, second = pool.probabilities().topk(2, dim=1).values.unbind(dim=1)
        return first - second


class NegativeUncertainty(Uncertainty):
    def score(self, pool, seed):
        return -pool.probabilities().amax(dim=1)


class NaNEntropy(Score):
    def score(self, pool, seed):
        p = pool.probabilities()
        return -(p * p.log()).sum(dim=1)


class InfiniteWhereUndecided(Score):
    def score(self, pool, seed):
        return 1 / (pool.logits.amax(dim=1) - pool.logits.amin(dim=1))


class NaNIsCertain(Score):
    """What PowerAcquisition once did: a comparison is false for NaN."""

    def __init__(self):
        self.uncertainty = Entropy()

    def score(self, pool, seed):
        u = self.uncertainty.score(pool, seed)
        return torch.where(u > 0, u, 0.0)


class Double(Score):
    def score(self, pool, seed):
        return super().score(pool, seed).double()


class PerClass(Score):
    def score(self, pool, seed):
        return pool.probabilities()


class BatchNormalized(Score):
    def score(self, pool, seed):
        return super().score(pool, seed).softmax(dim=0)


class NoiseInSequence(Score):
    def score(self, pool, seed):
        return torch.rand(len(pool), generator=torch.Generator().manual_seed(seed))


class GlobalTorch(Select):
    def select(self, shortlist, labeled, n, generator):
        return torch.randperm(len(shortlist))[:n]


class GlobalNumpy(Select):
    def select(self, shortlist, labeled, n, generator):
        return torch.from_numpy(np.random.permutation(len(shortlist))[:n])  # noqa: NPY002


class GlobalPython(Select):
    def select(self, shortlist, labeled, n, generator):
        return torch.tensor(random.sample(range(len(shortlist)), n))


class Unseeded(Select):
    def select(self, shortlist, labeled, n, generator):
        return torch.from_numpy(np.random.default_rng().permutation(len(shortlist))[:n])


class Remembers(Select):
    calls = 0

    def select(self, shortlist, labeled, n, generator):
        self.calls += 1
        return super().select(shortlist, labeled, n, generator).roll(self.calls)


class Duplicates(Select):
    def select(self, shortlist, labeled, n, generator):
        return super().select(shortlist, labeled, n, generator) // 2 * 2


class DatasetIndices(Select):
    def select(self, shortlist, labeled, n, generator):
        return shortlist.index[super().select(shortlist, labeled, n, generator)]


class RanksOfTheShortlist(Score):
    def select(self, shortlist, labeled, n, generator):
        return torch.arange(n)


class RowsBehindTheLabeled(KCenter):
    def select(self, shortlist, labeled, n, generator):
        return len(labeled) + super().select(shortlist, labeled, n, generator)


class OneTooMany(Select):
    def select(self, shortlist, labeled, n, generator):
        return super().select(shortlist, labeled, n + 1, generator)


class NeverAll(Select):
    def select(self, shortlist, labeled, n, generator):
        return super().select(shortlist, labeled, min(n, len(shortlist) - 1), generator)


class UndeclaredOutput(Score):
    def score(self, pool, seed):
        return super().score(pool, seed) * pool.require("embeddings").norm(dim=1)


class UndeclaredLabeledSet(KCenter):
    needs_labeled = False

    def select(self, shortlist, labeled, n, generator):
        return super().select(shortlist, replace(labeled), n, generator)


class UndeclaredLabels(KCenter):
    def select(self, shortlist, labeled, n, generator):
        return super().select(shortlist, labeled.rows(labeled.require("labels") > 0), n, generator)


class LabelsOfNoLabeledSet(Score):
    needs_labels = True


class LabelsOfThePool(Select):
    def select(self, shortlist, labeled, n, generator):
        return shortlist.require("labels").argsort(stable=True)[:n]


class UnknownNeed(Score):
    needs = frozenset({"logits", "gradients"})


class PassesThatNobodyNeeds(Score):
    mc_samples = 10


class ShortlistTooShort(Score):
    def shortlist_size(self, n):
        return n // 2


class WritesIntoTheLogits(Score):
    def score(self, pool, seed):
        return 1 - pool.logits.sub_(pool.logits.amax()).softmax(dim=1).amax(dim=1)


class KeepsTensors(Score):
    def __init__(self):
        self.kept = []

    def score(self, pool, seed):
        self.kept.append(pool.logits.clone())
        return super().score(pool, seed)


class KeepsArrays(Score):
    def __init__(self):
        self.kept = []

    def score(self, pool, seed):
        self.kept.append(pool.logits.numpy().copy())
        return super().score(pool, seed)


class FloatPseudoLabels(Score):
    def pseudo_labels(self, pool, round):
        return pool.require("score")


class PseudoLabelsBeyondTheClasses(Score):
    def pseudo_labels(self, pool, round):
        return pool.logits.argmax(dim=1) + 1


class AsksTheOracle(Score):
    def __init__(self):
        self.data = Digits()
        self.data.setup()
        self.data.reset(0)

    def score(self, pool, seed):
        return (self.data.hidden_labels.label(torch.arange(len(pool))) == 3).float()


class ReadsTheOracle(AsksTheOracle):
    def score(self, pool, seed):
        return (self.data.hidden_labels._labels[: len(pool)] == 3).float()


class ReadsTheLabels(AsksTheOracle):
    def score(self, pool, seed):
        return (self.data.labels[: len(pool)] == 3).float()


class LooksForErrors(AsksTheOracle, Select):
    needs = frozenset({"logits"})

    def shortlist_size(self, n):
        return None

    def select(self, shortlist, labeled, n, generator):
        predictions = shortlist.logits.argmax(dim=1)
        wrong = [self.data.hidden_labels.count_errors(torch.tensor([i]), predictions[i]) for i in range(len(shortlist))]
        return torch.tensor(wrong).argsort(descending=True)[:n]


BROKEN = [
    (WrongSign, {"higher_score_means_query_first"}),
    (WrongSignUncertainty, {"higher_score_means_query_first"}),
    (NegativeUncertainty, {"higher_score_means_query_first"}),
    (NaNEntropy, {"scores_are_finite_float32"}),
    (InfiniteWhereUndecided, {"scores_are_finite_float32"}),
    (NaNIsCertain, {"hides_no_nan"}),
    (Double, {"scores_are_finite_float32"}),
    (PerClass, {"scores_are_finite_float32"}),
    (BatchNormalized, {"batch_size_does_not_matter", "number_of_shards_does_not_matter"}),
    (NoiseInSequence, {"order_of_the_pool_does_not_matter", "batch_size_does_not_matter"}),
    (GlobalTorch, {"leaves_global_randomness_alone", "same_generator_same_answer"}),
    (GlobalNumpy, {"leaves_global_randomness_alone", "same_generator_same_answer"}),
    (GlobalPython, {"leaves_global_randomness_alone", "same_generator_same_answer"}),
    (Unseeded, {"same_generator_same_answer"}),
    (Remembers, {"same_generator_same_answer"}),
    (Duplicates, {"selects_different_images_of_the_pool"}),
    (DatasetIndices, {"selects_different_images_of_the_pool"}),
    (RowsBehindTheLabeled, {"selects_different_images_of_the_pool"}),
    (OneTooMany, {"selects_different_images_of_the_pool"}),
    (RanksOfTheShortlist, {"selects_the_highest_scores"}),
    (NeverAll, {"takes_all_when_asked_for_all"}),
    (UndeclaredOutput, {"reads_only_what_it_declares"}),
    (UndeclaredLabeledSet, {"reads_only_what_it_declares"}),
    (UndeclaredLabels, {"reads_only_what_it_declares"}),
    (LabelsOfNoLabeledSet, {"declares_what_it_needs"}),
    (LabelsOfThePool, {"does_not_read_labels"}),
    (UnknownNeed, {"declares_what_it_needs"}),
    (PassesThatNobodyNeeds, {"declares_what_it_needs"}),
    (ShortlistTooShort, {"declares_what_it_needs"}),
    (WritesIntoTheLogits, {"leaves_its_inputs_alone"}),
    (KeepsTensors, {"memory_is_the_shortlist"}),
    (KeepsArrays, {"memory_is_the_shortlist"}),
    (FloatPseudoLabels, {"pseudo_labels_are_classes"}),
    (PseudoLabelsBeyondTheClasses, {"pseudo_labels_are_classes"}),
    (AsksTheOracle, {"does_not_read_labels"}),
    (ReadsTheOracle, {"does_not_read_labels"}),
    (ReadsTheLabels, {"does_not_read_labels"}),
    (LooksForErrors, {"does_not_read_labels"}),
]


@pytest.mark.parametrize(("cls", "expected"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_broken_strategy_is_caught_by_name(cls, expected):
    results = check_strategy(cls)
    assert [result.check for result in results] == [check.__name__ for check in CHECKS]
    failed = {result.check for result in results if result.outcome == "failed"}
    assert expected <= failed
    assert all(result.note for result in results if result.outcome != "passed")


@pytest.mark.parametrize("cls", [Score, Select])
def test_what_the_broken_ones_spoil_is_correct(cls):
    assert not [result for result in check_strategy(cls) if result.outcome == "failed"]


def test_each_check_catches_something():
    never = {"never_selects_a_labeled_image"}  # a strategy returns rows of the pool: it cannot even name such an image
    caught = set().union(*(expected for _, expected in BROKEN))
    assert caught == {check.__name__ for check in CHECKS} - never


def test_one_mistake_is_told_once():
    results = check_strategy(AsksTheOracle)
    assert [result.check for result in results if result.outcome == "failed"] == ["does_not_read_labels"]
    assert "not reached, see: does not read labels" in results[-1].note


def test_labels_of_the_labeled_set_are_given_to_those_that_declare_them():
    class Declared(UndeclaredLabels):
        needs_labels = True

    assert not [result for result in check_strategy(Declared) if result.outcome == "failed"]


def test_score_may_prefer_one_class():
    class RareClass(ScoreStrategy):
        def score(self, pool, seed):
            return pool.probabilities()[:, 0]

    assert run_check(CHECKS[4], RareClass).outcome == "passed"


def test_ties_by_score_go_to_the_lower_row():
    assert by_score(replace(_pool_of_three(), score=torch.tensor([1.0, 2.0, 2.0]))).tolist() == [1, 2, 0]


def _pool_of_three():
    from msal_lightning import PoolOutputs

    return PoolOutputs(torch.arange(3))


# The command

WRONG_SIGN = """
from msal_lightning import ScoreStrategy

class WrongSign(ScoreStrategy):
    def score(self, pool, seed):
        return pool.probabilities().amax(dim=1)

class Typo(ScoreStrategy):
    def score(self, pool, seed):
        return pool.logitz
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_strategies.py").write_text(WRONG_SIGN)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_command_shows_a_table_and_exits_0(capsys):
    assert main(["check-strategy", "MSALD", "--query.uncertainty", "Margin", "--query.beta", "3"]) == 0
    out = capsys.readouterr().out
    assert out.count("passed") == 17
    assert "MSALD-Margin: 16 passed, 0 failed, 2 n/a" in out


def test_command_exits_1_for_a_broken_strategy_of_ones_own(own_module, capsys):
    assert main(["check-strategy", "own_strategies.WrongSign"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^higher score means query first +failed ", out, re.MULTILINE)
    assert "WrongSign: 16 passed, 1 failed, 1 n/a" in out


def test_command_says_where_a_strategy_fails(own_module, capsys):
    assert main(["check-strategy", "own_strategies.Typo"]) == 1
    assert "own_strategies.py:10" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["Badge"], "did you mean BADGE"),
        (["MSALD", "--query.betta", "3"], "no option 'betta': did you mean beta"),
        (["MSALD", "--query.beta", "0.5"], "query.beta must be a number of at least 1, got 0.5"),
        (["CEAL", "--query.uncertainty", "Margin"], "query.uncertainty of CEAL must be Entropy or MSAL, got Margin"),
        (["Strategy"], "abstract"),
        (["no.such.Thing"], "cannot import query"),
    ],
)
def test_command_explains_a_mistake(arguments, expected, capsys):
    assert main(["check-strategy", *arguments]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1


def test_command_has_help(capsys):
    assert main(["check-strategy", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(check.__name__.replace("_", " ") in out for check in CHECKS)
    assert main(["check-strategy"]) == 2
