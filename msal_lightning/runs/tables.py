"""Rows of ``curve.csv`` and ``ledger.csv``, derived from the records."""

from collections.abc import Sequence
from typing import Any

from msal_lightning.data.label_files.label_table import CLASS_NAME
from msal_lightning.runs.amendments import Amendments
from msal_lightning.runs.records import RoundRecord


def curve_row(record: RoundRecord) -> dict[str, Any]:
    """Return the row of ``curve.csv`` for a round."""
    pseudo = record.pseudo_labels
    return {
        "round": record.round,
        "num_labeled": record.num_labeled,
        **record.metrics,
        **({"classes": len(record.class_names or [])} if record.starts_segment else {}),
        "pool_error": record.pool_error,
        **({} if pseudo is None else {"pseudo_labels": len(pseudo.index), "pseudo_wrong": pseudo.wrong}),
        **{f"seconds_{phase}": round(seconds, 3) for phase, seconds in record.seconds.items()},
    }


def ledger_rows(
    record: RoundRecord, names: Sequence[str], amendments: Amendments, present_names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the rows of ``ledger.csv`` that a round adds.

    Args:
        record: record of the round.
        names: class names of that time in the order of their numbers; a class without one has its number.
        amendments: the changes that a person made to the run. If they correct labels or change classes, all rows have a
            column for the name of the present class; it is blank where the name is still the same.
        present_names: the present class names.
    """
    rows = []
    corrected = amendments.corrected
    changes = bool(corrected or amendments.reclassed())
    for labeled, trained_from in record.moves():
        present = amendments.present_labels(labeled, record.round)
        scores: list[float] | list[None] = labeled.score or [None] * len(labeled.index)
        for rank, (index, label, score) in enumerate(zip(labeled.index, labeled.label, scores, strict=True)):
            row: dict[str, Any] = {"round": trained_from, "rank": rank, "index": index, "score": score, "label": label}
            row[CLASS_NAME] = _name(label, names)
            if changes:
                now = _name(present[rank], present_names)
                row["corrected"] = now if now != row[CLASS_NAME] or index in corrected else None
            rows.append(row if labeled.path is None else {**row, "path": labeled.path[rank]})
    return rows


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if label < len(names) else str(label)
