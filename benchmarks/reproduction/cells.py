"""One cell of the paper against ours."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from msal_lightning.paper.reported import Reported, reported

MARGIN = 0.005
"""A difference that the page calls none: half a percentage point."""
_PAPER_RUNS = 3  # section 4.1
_PLAIN = {"BADGE(KMeans++)": "BADGE", "DBAL(KMeans)": "DBAL"}


@dataclass(frozen=True)
class Compared:
    """A cell beside the paper's.

    Attributes:
        mean: our mean.
        half: half of its 95 % interval (Student's t).
        paper: the paper's cell.
        error: standard error of the difference, if the paper's three runs vary as ours do; it does not print how much
            they do.
        apart: half of the 95 % interval of the difference.
    """

    mean: float
    half: float
    paper: Reported
    error: float
    apart: float

    @property
    def difference(self) -> float:
        """Ours minus the paper's."""
        return self.mean - self.paper.value

    @property
    def verdict(self) -> str:
        """Reproduced if the whole interval lies within the margin, not if it leaves out 0, otherwise undecided."""
        if abs(self.difference) + self.apart <= MARGIN:
            return "reproduced"
        return "**not reproduced**" if abs(self.difference) > self.apart else "undecided"


def paper_cell(row: str, metric: str) -> Reported | None:
    """Return the paper's MNIST cell of a row; None if it has none."""
    cells = reported("MNIST", None, _PLAIN.get(row, row), metric)
    return cells[0] if cells else None


def compare(values: list[float], paper: Reported) -> Compared:
    """Compare at least two runs with a cell."""
    n, std = len(values), float(np.std(values, ddof=1))
    quantile = float(student_t.ppf(0.975, n - 1))
    error = std * math.sqrt(1 / n + 1 / _PAPER_RUNS)
    return Compared(float(np.mean(values)), quantile * std / math.sqrt(n), paper, error, quantile * error)
