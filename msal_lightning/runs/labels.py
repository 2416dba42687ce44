"""The labels of a run as they are now, by class names: what records, amendments and accepted annotations say."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from msal_lightning.data.label_files.label_set import LabelRow, LabelSet
from msal_lightning.data.places import Place
from msal_lightning.runs.amendments import Amendments
from msal_lightning.runs.pending import INITIAL, PendingRequest, all_pending
from msal_lightning.runs.reading import Run
from msal_lightning.runs.records import LabeledImages, RoundRecord, last_segment
from msal_lightning.runs.votes import ImageVotes, votes_so_far


def labels_of(run: Run, root: Path) -> LabelSet:
    """Return all labels of a run, in the order of its ledger, then the skipped images.

    The annotations of a round without a record count too, as soon as the run has accepted them.

    Args:
        run: the run.
        root: folder in which the paths of its images begin.

    Raises:
        RunError: a file of a labeling request is damaged.
    """
    names, votes = run.class_names, votes_so_far(run.folder, run.records)
    labeled = [row for record in run.records for row in _recorded(record, names, run.amendments)]
    skipped = [row for record in run.records for row in _skipped(record)]
    for request in all_pending(run.folder):
        for row in _accepted(request, len(run.records)):
            (skipped if row.round is None else labeled).append(row)
    removed = run.amendments.removed
    labeled, skipped = ([row for row in rows if row.index not in removed] for rows in (labeled, skipped))
    known = {row.label: None for row in labeled}
    all_names = (*names, *(name for name in known if name not in names))
    said = {index: given for index, given in votes.items() if index not in run.amendments.corrected}
    return LabelSet(all_names, tuple(_with_annotators(row, said) for row in (*labeled, *skipped)), root)


def queried_per_class(run: Run) -> list[int]:
    """Return the number of queried labels of each present class."""
    labels = [c for one in run.records for c in run.amendments.present_labels(one.queried, one.round)]
    sizes = [len(one.class_counts) for one in last_segment(run.records)]
    count = max([len(run.class_names) or max(sizes, default=0), *(label + 1 for label in labels)])
    found = Counter(labels)
    return [found[c] for c in range(count)]


def _with_annotators(row: LabelRow, votes: dict[int, ImageVotes]) -> LabelRow:
    names = [name for name, _ in votes.get(row.index, ()) if name]
    return replace(row, annotator="; ".join(names)) if names else row


def _recorded(record: RoundRecord, names: Sequence[str], amendments: Amendments) -> list[LabelRow]:
    return [
        row
        for labeled, place in record.moves()
        for row in _rows(replace(labeled, label=amendments.present_labels(labeled, record.round)), place, names)
    ]


def _rows(labeled: LabeledImages, place: int, names: Sequence[str]) -> list[LabelRow]:
    none = [None] * len(labeled.index)
    columns = zip(labeled.index, labeled.path or none, labeled.label, labeled.score or none, strict=True)
    held_out = place == Place.HELD_OUT
    return [
        LabelRow(
            index=index,
            path=path,
            label=names[label] if label < len(names) else str(label),
            split="test" if held_out else "train",
            round=max(place, 0),
            rank=rank,
            score=score,
        )
        for rank, (index, path, label, score) in enumerate(columns)
    ]


def _skipped(record: RoundRecord) -> list[LabelRow]:
    found = record.skipped
    if found is None:
        return []
    return [LabelRow(*row) for row in zip(found.index, found.path, found.reason, strict=True)]


def _accepted(request: PendingRequest, num_records: int) -> list[LabelRow]:
    """Return the annotations of a request; none if a record has them already, which a kill may leave behind."""
    trained_from = 0 if request.name == INITIAL else int(request.name.removeprefix("round-")) + 1
    if num_records > max(0, trained_from - 1):
        return []
    return [
        LabelRow(item.index, item.path, given.reason)
        if given.label is None
        else LabelRow(item.index, item.path, given.label, round=trained_from, rank=item.rank, score=item.score)
        for exchange in request.exchanges
        for item, given in zip(exchange.batch.items, exchange.annotations or (), strict=False)
    ]
