"""What the page says about a run besides its images: progress, budget, accuracy, forecast."""

from collections.abc import Sequence
from typing import Any

from msal_lightning.analysis.stats.estimates import accuracy_interval
from msal_lightning.loop.loop import ActiveLoop
from msal_lightning.runs.classes import missing_classes
from msal_lightning.runs.records import RoundRecord, last_segment
from msal_lightning.stopping.forecast import forecast, labels_to, next_target, say_labels_to


def facts_of(loop: ActiveLoop, records: Sequence[RoundRecord]) -> dict[str, Any]:
    """Return the facts as plain JSON values; called while the loop stands still.

    Args:
        loop: the loop.
        records: tested rounds so far; the labels that the last one requests may be missing.

    Returns:
        title: name of the run; run: its folder; labels: labels that the loop has; budget: labels that it has at its
        end; rounds: number of rounds; round: number of the last tested round, None before; curve: pairs of labels and
        accuracy of the rounds with the present classes; accuracy: with its interval and number of test images, None
        before the first model; forecast: a sentence, blank if there is none; warnings: sentences on classes without
        test images or labels; seen: how the model cuts an image.
    """
    data, counts = loop.data, loop.labels.label_counts
    shown = last_segment(records)
    given = len(data.labeled) + len(data.held_out) + data.split.num_removed_labels  # 0 if the run had finished before
    return {
        "title": loop.run_directory.path.name,
        "run": str(loop.run_directory.path),
        "labels": max(given, records[-1].num_labeled) if records else given,
        "budget": counts[-1],
        "rounds": len(counts),
        "round": records[-1].round if records else None,
        "curve": [[record.num_labeled, record.accuracy] for record in shown],
        "accuracy": _accuracy(records[-1]) if records else None,
        "forecast": _forecast(shown),
        "warnings": missing_classes(records, len(records) - 1).warnings if records else [],
        "seen": _seen(loop),
    }


def _accuracy(record: RoundRecord) -> dict[str, Any]:
    if not record.num_test:
        return {"value": record.accuracy, "low": None, "high": None, "tested": None}
    interval = accuracy_interval(record.accuracy, record.num_test)
    return {"value": interval.value, "low": interval.low, "high": interval.high, "tested": record.num_test}


def _forecast(records: Sequence[RoundRecord]) -> str:
    labels, accuracies = [record.num_labeled for record in records], [record.accuracy for record in records]
    found = forecast(labels, accuracies, records[-1].num_test if records else None)
    target = next_target(accuracies) if found else None
    return say_labels_to(labels_to([found], target), labels[-1]) if found and target else ""


def _seen(loop: ActiveLoop) -> dict[str, Any] | None:
    how = loop.data.decoding
    if how is None:
        return None
    return {"fit": how.fit, "part": 1.0 if how.resize is None else how.size / how.resize, "pixels": how.size}
