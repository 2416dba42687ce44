"""What each annotator said about each image of a run."""

from collections.abc import Sequence
from pathlib import Path

from msal_lightning.runs.pending import all_pending
from msal_lightning.runs.records import RoundRecord

ImageVotes = tuple[tuple[str, str], ...]
"""Pairs of annotator and word: a class, skip or unsure."""


def votes_so_far(run: Path, records: Sequence[RoundRecord]) -> dict[int, ImageVotes]:
    """Return the votes on each image, by index; images without a named annotator are left out.

    Args:
        run: the run directory, whose accepted annotations count before their round has a record.
        records: records of the finished rounds.

    Raises:
        RunError: a file of a labeling request is damaged.
    """
    found = dict[int, list[tuple[str, str]]]()
    for votes in (record.votes for record in records if record.votes):
        for index, name, word in zip(votes.index, votes.annotator, votes.label, strict=True):
            found.setdefault(index, []).append((name, word))
    for request in all_pending(run):
        for exchange in request.exchanges:
            for item, annotation in zip(exchange.batch.items, exchange.annotations or (), strict=False):
                if annotation.votes:
                    found[item.index] = [*annotation.votes]
    return {index: tuple(votes) for index, votes in sorted(found.items())}
