"""Stopping criteria against hand values and scikit-learn."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from benchmarks.marks import fill
from benchmarks.stopping import PAGE, read, regret_table
from msal_lightning.stopping import (
    AccuracyReached,
    ClassificationChange,
    CostOptimum,
    KappaAgreement,
    Look,
    OverallUncertainty,
    Plateau,
    StopSet,
)


def accuracies(*values):
    return [Look(100 * k, value, 1_000) for k, value in enumerate(values, 1)]


def predictions(*rounds, uncertainty=0.5):
    return [Look(100, 0.5, None, StopSet([*range(len(one))], [*one], uncertainty)) for one in rounds]


def test_an_accuracy_is_reached_in_enough_rounds():
    assert AccuracyReached(0.9).reason(accuracies(0.5, 0.9)) == "accuracy 0.9000, wanted 0.9"
    assert AccuracyReached(0.9).reason(accuracies(0.95, 0.89)) is None
    assert AccuracyReached(0.9, rounds=2).reason(accuracies(0.91, 0.92)) == "accuracy 0.9100, wanted 0.9"
    assert AccuracyReached(0.9, rounds=2).reason(accuracies(0.92)) is None


def test_a_plateau_is_measured_from_the_best_accuracy():
    flat = Plateau(gain=0.01, rounds=2)
    assert flat.reason(accuracies(0.5, 0.8, 0.811, 0.805)) is None  # 0.011 more than two rounds ago
    assert flat.reason(accuracies(0.5, 0.8, 0.79, 0.805)) == (
        "the best accuracy grew by 0.0050 in 2 rounds, wanted more than 0.01"
    )
    assert flat.reason(accuracies(0.5, 0.5)) is None


def test_the_cost_decides_by_the_forecast():
    looks = accuracies(*(1 - 2.0 * (100 * k) ** -0.5 for k in range(1, 9)))  # 800 labels, error 0.071
    # error(n) = 2 n^-0.5: with decisions D the optimum of n + D error(n) is n = D^(2/3)
    assert CostOptimum(error=1.0, decisions=1_000_000).reason(looks) is None  # the optimum is 10,000
    assert "every later end" in CostOptimum(error=1.0, decisions=2_000).reason(looks)  # 159
    assert CostOptimum(error=1.0, decisions=2_000).reason(looks[:3]) is None  # too early to tell


def test_kappa_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    rounds = [rng.integers(3, size=50)]
    for _ in range(3):
        rounds.append(np.where(rng.random(50) < 0.1, rng.integers(3, size=50), rounds[-1]))
    mean = np.mean([cohen_kappa_score(a, b) for a, b in itertools.pairwise(rounds)])
    looks = predictions(*(one.tolist() for one in rounds))
    assert KappaAgreement(kappa=mean - 1e-6).reason(looks).startswith(f"kappa {mean:.4f}, mean of 3 rounds")
    assert KappaAgreement(kappa=mean + 1e-6).reason(looks) is None
    assert KappaAgreement(kappa=0.1).reason(looks[:3]) is None  # two kappas only
    same = predictions(*[[1, 1, 1]] * 4)  # undefined by its formula
    assert KappaAgreement().reason(same) == "kappa 1.0000, mean of 3 rounds, wanted 0.99"


def test_changes_are_counted_on_images_that_both_rounds_have():
    first = Look(100, 0.5, None, StopSet([1, 2, 3, 9], [0, 0, 1, 5], 0.5))
    then = Look(110, 0.5, None, StopSet([1, 2, 3, 4], [0, 1, 1, 7], 0.5))
    assert ClassificationChange(0.4, rounds=1).reason([first, then]) == (
        "at most 33.33% of the predictions changed in a round, wanted 40.00%"
    )
    assert ClassificationChange(0.3, rounds=1).reason([first, then]) is None
    assert ClassificationChange(0.0, rounds=2).reason([first, then, then]) is None
    assert ClassificationChange(0.0, rounds=2).reason([first, then, then, then]).startswith("at most 0.00%")


def test_overall_uncertainty_is_a_mean():
    assert OverallUncertainty(0.2).reason(predictions([1, 2], uncertainty=0.2)) == (
        "mean uncertainty 0.2000, wanted 0.2"
    )
    assert OverallUncertainty(0.2).reason(predictions([1, 2], uncertainty=0.21)) is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: AccuracyReached(0.0),
        lambda: AccuracyReached(0.9, rounds=0),
        lambda: Plateau(-0.1),
        lambda: CostOptimum(0.0, 10),
        lambda: KappaAgreement(kappa=1.5),
        lambda: KappaAgreement(size=1),
        lambda: ClassificationChange(share=1.0),
        lambda: OverallUncertainty(0.0),
    ],
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected loop\.stop\."):
        wrong()


def test_the_page_is_the_one_of_its_table():
    assert PAGE.read_text() == fill(PAGE, {"stopping": regret_table([*read()])})
