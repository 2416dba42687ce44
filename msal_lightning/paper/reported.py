"""The paper's own numbers: Tables 2 to 5 of *Maximally Separated Active Learning*, cell by cell.

``paper.csv`` has them as they are printed, under the names of :func:`~msal_lightning.paper.methods.method_name` (BADGE
and DBAL without "(KMeans++)" and "(KMeans)", "Ours(MSAL)" as MSAL). Tables 2 and 3 disagree on CIFAR-10 for Random and
Margin, so each cell belongs to its table. A dagger marks numbers that the paper took from Zhan et al.
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
"""Number of labels in the first and the last round, from Table 1. The paper does not give them for Table 5."""


@dataclass(frozen=True)
class Reported:
    """One cell of a table.

    Attributes:
        table: number of the table, 2 to 5.
        printed: accuracy or area, with the digits that the paper gives.
        dagger: whether the paper took it from the survey of Zhan et al.
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
    """Return the cells that the paper reports; those of later tables only if they differ from earlier ones.

    Args:
        dataset: name of the data class.
        imbalance: imbalance of the long-tailed version (Table 5); None for the whole dataset.
        method: the paper's row.
        metric: AUBC or F-acc.

    Returns:
        No cell, one, or several if tables disagree.
    """
    cells = _cells().get((dataset, imbalance, method, metric), [])
    return list({cell.value: cell for cell in reversed(cells)}.values())[::-1]


def has_dataset(dataset: str, imbalance: float | None) -> bool:
    """Whether any table has the dataset."""
    return any(key[:2] == (dataset, imbalance) for key in _cells())
