"""The paper's own numbers: Tables 2 to 5 of *Maximally Separated Active Learning*, cell by cell.

``paper.csv`` has them as they are printed, under the names of :func:`~msal_lightning.paper.methods.method_name` (BADGE
and DBAL without "(KMeans++)" and "(KMeans)", "Ours(MSAL)" as MSAL). Tables 2 and 3 disagree on CIFAR-10 for Random and
Margin, so each cell belongs to its table. A dagger marks what the paper itself took from Zhan et al.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

LABELS = {
    "MNIST": (500, 10_500),
    "SVHN": (500, 20_500),
    "CIFAR10": (1000, 41_000),
    "CIFAR100": (1000, 41_000),
    "TinyImageNet": (1000, 41_000),
}
"""Labels of the first and of the last round in Table 1. Table 5's are not given."""


@dataclass(frozen=True)
class Reported:
    """One cell.

    Attributes:
        table: 2 to 5.
        printed: accuracy or area, with the digits that the paper gives.
        dagger: taken by the paper from the survey of Zhan et al.
    """

    table: int
    printed: str
    dagger: bool

    @property
    def value(self) -> float:
        """Accuracy or area, 0 to 1."""
        return float(self.printed)


@cache
def _cells() -> dict[tuple[str, float | None, str, str], list[Reported]]:
    cells: dict[tuple[str, float | None, str, str], list[Reported]] = {}
    with (files("msal_lightning.paper") / "paper.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            imbalance = float(row["imbalance"]) if row["imbalance"] else None
            cell = Reported(int(row["table"]), row["value"], row["dagger"] == "1")
            cells.setdefault((row["dataset"], imbalance, row["method"], row["metric"]), []).append(cell)
    return cells


def reported(dataset: str, imbalance: float | None, method: str, metric: str) -> list[Reported]:
    """What the paper reports, the cells of later tables only where they differ from earlier ones.

    Args:
        dataset: name of the data class.
        imbalance: of the long-tailed version (Table 5); None for the whole dataset.
        method: the paper's row.
        metric: AUBC or F-acc.

    Returns:
        No cell, one, or more where tables disagree.
    """
    cells = _cells().get((dataset, imbalance, method, metric), [])
    return list({cell.value: cell for cell in reversed(cells)}.values())[::-1]


def has_dataset(dataset: str, imbalance: float | None) -> bool:
    """Whether any table has it."""
    return any(key[:2] == (dataset, imbalance) for key in _cells())
