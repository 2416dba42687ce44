"""The CSV files of a run directory, which follow from its records."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msal_lightning.io.growing_table import GrowingTable
from msal_lightning.runs.amendments import Amendments
from msal_lightning.runs.classes import class_names, class_table, class_table_rows, shows_last_round_only
from msal_lightning.runs.records import RoundRecord
from msal_lightning.runs.tables import curve_row, ledger_rows


class TableFiles:
    """``curve.csv``, ``per_class.csv`` and ``ledger.csv``.

    Args:
        folder: the run directory.
        amendments: returns the changes that a person made to the run.
    """

    def __init__(self, folder: Path, amendments: Callable[[], Amendments] = Amendments) -> None:
        self._amendments = amendments
        self._curve = GrowingTable(folder / "curve.csv")
        self._classes = GrowingTable(folder / "per_class.csv")
        self._ledger = GrowingTable(folder / "ledger.csv")
        self._rounds = 0  # in the files

    def write(self, records: Sequence[RoundRecord]) -> None:
        """Write all tables; a table without rows is left out.

        Args:
            records: all records, from round 0.
        """
        rows = {
            self._curve: [curve_row(record) for record in records],
            self._classes: class_table(records),  # empty if the records have no results by class
            self._ledger: [row for k in range(len(records)) for row in self._ledger_rows(records, k)],
        }
        for file, content in rows.items():
            if content:
                file.write(content)
        self._rounds = len(records)

    def add(self, records: Sequence[RoundRecord]) -> None:
        """Add the rows of the last record, or write all tables if the files do not end with the record before.

        Args:
            records: all records, from round 0.
        """
        rows = {
            self._curve: [curve_row(records[-1])],
            self._classes: class_table_rows(records),
            self._ledger: self._ledger_rows(records, len(records) - 1),
        }
        grows = len(records) == self._rounds + 1 and not shows_last_round_only(records)
        if grows and all(file.append(new) for file, new in rows.items() if new):
            self._rounds += 1
        else:
            self.write(records)

    def sync(self) -> None:
        """Make the files survive a power failure; until then they can be derived from the records."""
        for file in (self._curve, self._classes, self._ledger):
            file.sync()

    def _ledger_rows(self, records: Sequence[RoundRecord], round: int) -> list[dict[str, Any]]:
        """Return the rows of a round, with the class names of its time."""
        amendments = self._amendments()
        present = amendments.present_names(class_names(records), len(records))
        return ledger_rows(records[round], class_names(records[: round + 1]), amendments, present)
