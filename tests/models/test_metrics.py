"""The area under the budget curve."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from msal_lightning.models.metrics import AUBC, area_under_budget_curve


def aubc(*points):
    metric = AUBC()
    for num_labeled, accuracy in points:
        metric.update(num_labeled, accuracy)
    return float(metric.compute())


@pytest.mark.parametrize(
    ("points", "area"),
    [
        ([(100, 0.5), (200, 0.7)], 0.6),
        ([(100, 0.5), (200, 0.7), (300, 0.9)], 0.7),
        ([(100, 0.5), (200, 0.7), (400, 0.8)], (0.6 * 100 + 0.75 * 200) / 300),
        ([(0, 0.0), (1, 1.0), (10, 1.0)], 0.95),
        ([(40, 0.2), (41, 0.4), (400, 0.2)], 0.3),
    ],
)
def test_hand_values(points, area):
    assert aubc(*points) == pytest.approx(area, rel=1e-12)
    assert aubc(*reversed(points)) == pytest.approx(area, rel=1e-12)
    assert aubc(*points[1:], points[0]) == pytest.approx(area, rel=1e-12)
    assert area_under_budget_curve(*map(list, zip(*points, strict=True))) == pytest.approx(area, rel=1e-12)


def test_flat_curve_has_its_own_value():
    assert aubc(*((n, 0.8) for n in (20, 40, 60, 1000, 1001))) == pytest.approx(0.8, rel=1e-12)


def test_large_counts_keep_their_precision():
    assert aubc((10**9, 0.1), (10**9 + 1, 0.2), (10**9 + 3, 0.4)) == pytest.approx(0.25, rel=1e-12)


def test_one_point_has_no_area():
    assert np.isnan(aubc((100, 0.5)))
    assert np.isnan(area_under_budget_curve([100], [0.5]))


def test_no_point_has_no_area():
    metric = AUBC()
    with pytest.warns(UserWarning, match="before the ``update``"):
        area = metric.compute()
    assert area.isnan()
    assert area.dtype == torch.float64


curves = st.lists(
    st.tuples(st.integers(0, 10**6), st.floats(0, 1, allow_subnormal=False)),
    min_size=2,
    max_size=20,
    unique_by=lambda point: point[0],
)


@settings(max_examples=50, deadline=None)
@given(curves, st.integers(1, 19))
def test_numpy_agrees(points, cut):
    labels, values = np.array(sorted(points)).T
    expected = np.trapezoid(values, labels) / (labels[-1] - labels[0])
    assert aubc(*points) == pytest.approx(expected, rel=1e-9, abs=1e-12)

    in_parts = AUBC()
    for part in filter(None, (points[:cut], points[cut:])):
        in_parts.update(*map(torch.tensor, zip(*part, strict=True)))
    # a tensor of Python floats is float32
    assert float(in_parts.compute()) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_it_lies_between_the_lowest_and_the_highest_accuracy():
    area = aubc((10, 0.3), (20, 0.9), (50, 0.4))
    assert 0.3 < area < 0.9


@pytest.mark.parametrize(
    ("num_labeled", "accuracy"), [([100, 200], [0.5]), ([100], [0.5, 0.7]), (100, [0.5, 0.7]), ([], 0.5)]
)
def test_mismatch_is_refused(num_labeled, accuracy):
    metric = AUBC()
    metric.update(100, 0.5)
    with pytest.raises(ValueError, match="one accuracy a label count"):
        metric.update(torch.tensor(num_labeled), torch.tensor(accuracy))


def test_a_refused_update_adds_nothing():
    metric = AUBC()
    metric.update([100, 200], [0.5, 0.7])
    with pytest.raises(ValueError, match="one accuracy a label count"):
        metric.update([300, 400], [0.9])
    assert float(metric.compute()) == pytest.approx(0.6)


def test_points_go_on_after_compute():
    metric = AUBC()
    metric.update(100, 0.5)
    metric.update(200, 0.7)
    assert float(metric.compute()) == pytest.approx(0.6)
    metric.update(400, 0.8)
    assert float(metric.compute()) == pytest.approx(0.7)


def test_reset():
    metric = AUBC()
    metric.update(100, 0.0)
    metric.update(200, 0.0)
    assert float(metric.compute()) == 0
    metric.reset()
    metric.update(10, 0.6)
    metric.update(20, 0.8)
    assert float(metric.compute()) == pytest.approx(0.7)
