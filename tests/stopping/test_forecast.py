"""The forecast of labels against curves that are known."""

import numpy as np
import pytest

from benchmarks.forecast import LEVEL, cases, coverage, curves
from msal_lightning.stopping.forecast import (
    CurveForecast,
    LabelsTo,
    Priors,
    forecast,
    labels_to,
    next_target,
    say_labels_to,
    say_random_needed,
)

LABELS = [100 * k for k in range(1, 9)]


def power_law(labels, floor=0.05, scale=3.0, exponent=0.5):
    return [1 - floor - scale * n**-exponent for n in labels]


def test_a_power_law_is_continued():
    found = CurveForecast(LABELS, power_law(LABELS), priors=Priors(noise=1e-4))
    truth = np.array(power_law(found.ahead))
    assert found.ahead.tolist() == [900 + 100 * k for k in range(16)]  # to three times 800
    assert np.abs(np.median(found.curves, 0) - truth).max() < 0.005
    target = power_law([1_500])[0]
    assert labels_to([found], target).median == pytest.approx(1_500, rel=0.1)  # the grid of floors is coarse


def test_a_continuation_reaches_a_target_between_its_rounds():
    found = CurveForecast([10, 20, 30, 40], [0.1, 0.2, 0.3, 0.4], draws=3)
    found.ahead = np.array([50.0, 60.0])
    found.curves = np.array([[0.5, 0.6], [0.3, 0.7], [0.3, 0.3]])
    assert found.reached(0.45).tolist() == [45.0, pytest.approx(50 + 10 * 0.15 / 0.4), np.inf]
    assert labels_to([found], 0.3) == LabelsTo(0.3, 30.0, 30.0, 30.0, 1.0, 60)
    assert labels_to([found], 0.45).probability == pytest.approx(2 / 3)


def test_the_same_records_give_the_same_forecast():
    a, b = (CurveForecast(LABELS, power_law(LABELS), 500) for _ in range(2))
    assert np.array_equal(a.curves, b.curves)


def test_noisier_rounds_and_fewer_test_images_make_it_less_sure():
    def width(accuracies, num_test):
        one = labels_to([CurveForecast(LABELS, accuracies, num_test)], 0.88)
        return (one.high or np.inf) - one.low

    smooth = power_law(LABELS)
    rough = [a + (-1) ** k * 0.01 for k, a in enumerate(smooth)]
    assert width(smooth, 10_000) < width(smooth, 100)
    assert width(smooth, 10_000) < width(rough, 10_000)


def test_four_rounds_are_needed():
    assert forecast([10, 20, 30], [0.1, 0.2, 0.3]) is None
    assert forecast([10, 20, 30, 40], [0.1, 0.2, 0.3, 0.4]) is not None
    assert forecast([10, 20, 30, 40], [1.0, 1.0, 1.0, 1.0], 50) is not None
    assert next_target([0.3, 0.951, 0.94]) == 0.97
    assert next_target([1.0]) is None


def test_sentences():
    one = LabelsTo(0.95, 1_180.4, 1_323.0, 1_910.0, 0.97, 3_000)
    assert say_labels_to(one, 1_000) == "about 320 more labels for 95 % accuracy (80 % interval: 180 to 910)"
    far = LabelsTo(0.995, None, None, None, 0.02, 3_000)
    assert say_labels_to(far, 1_000) == (
        "99.5 % accuracy is far: within 2,000 more labels, where the forecast ends, its probability is 2%"
    )
    late = LabelsTo(0.95, 2_000.0, None, None, 0.4, 3_000)
    assert say_labels_to(late, 1_000) == (
        "95 % accuracy takes at least 1,000 more labels (90%): within 2,000 more labels, where the forecast ends, its "
        "probability is 40%"
    )
    had = LabelsTo(0.95, 800.0, 920.0, 1_910.0, 0.97, 3_000)  # some of several seeds reached it and fell back
    assert say_labels_to(had, 1_000) == "half of the seeds or more had 95 % accuracy with 920 labels"
    some = LabelsTo(0.95, 800.0, 1_323.0, None, 0.7, 3_000)
    assert say_labels_to(some, 1_000) == "about 320 more labels for 95 % accuracy (80 % interval: 0 or more)"
    assert say_random_needed(one) == (
        "Random would need about 1,323 labels for the best accuracy so far, 0.9500 (80 % interval: 1,180 to 1,910)"
    )
    reached = LabelsTo(0.95, 800.0, 800.0, 800.0, 1.0, 3_000)
    assert say_random_needed(reached) == "Random needed 800 labels for the best accuracy so far, 0.9500"
    assert say_random_needed(far).startswith("Random would need more than 3,000 labels")


def test_intervals_hold_about_as_often_as_they_say():
    found = [case for line in curves()[::12] for case in cases(line, Priors())]
    assert len(found) > 500
    assert coverage(found) == pytest.approx(LEVEL, abs=0.08)
