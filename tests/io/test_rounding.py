"""The same digits for the same number, wherever it is shown."""

import math
import shutil
import subprocess
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msal_lightning.io.rounding import fixed


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.125, 2, "0.13"), (0.375, 2, "0.38"), (-0.125, 2, "-0.13"), (0.5, 0, "1"), (2.5, 0, "3"),
        (0.03125, 4, "0.0313"),
        (0.145, 2, "0.14"),  # the number is below the middle: 0.14499999999999999
        (1.0, 4, "1.0000"), (0.0, 2, "0.00"), (1234567.5, 0, "1234568"), (math.nan, 2, "nan"),
    ],
)  # fmt: skip
def test_the_middle_goes_away_from_zero(value, digits, expected):
    assert fixed(value, digits) == expected


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_no_other_number_of_so_many_digits_is_nearer(value, digits):
    distance = abs(Fraction(fixed(value, digits)) - Fraction(value))
    assert 2 * distance * 10**digits <= 1


@pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript on this machine")
def test_the_page_rounds_alike():
    values = [k / 64 for k in range(-64, 65)] + [0.145, 1.005, 0.00005]
    code = f"console.log({values}.map((v) => v.toFixed(2)).join(' '))"
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [fixed(value, 2) for value in values]
