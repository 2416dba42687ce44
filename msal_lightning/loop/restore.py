"""Restore what a run began with: its split from the records, and its way to cut batches."""

from collections.abc import Sequence
from pathlib import Path

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.batch_size import FORMER_LAST_BATCH, LAST_BATCH, PER_DEVICE, began_without, without_key
from msal_lightning.errors import RunError
from msal_lightning.io.wording import counted
from msal_lightning.loop.label_sources import InitialSet
from msal_lightning.runs.amendments import Amendments
from msal_lightning.runs.config import flatten
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.moves import move_as_recorded, repeat_round
from msal_lightning.runs.records import RoundRecord


def check_rounds(records: Sequence[RoundRecord], label_counts: Sequence[int], removed: int, run: Path) -> None:
    """Check that the sizes of the recorded rounds match the options.

    Args:
        records: records of the finished rounds.
        label_counts: number of labels before each round.
        removed: number of labeled images that a person removed.
        run: the run directory.

    Raises:
        RunError: a size differs.
    """
    # an exhausted pool has fewer labels than requested
    may_lack = removed + sum(len(record.skipped.index) for record in records if record.skipped)
    fit = all(0 <= n - r.num_labeled <= may_lack for r, n in zip(records, label_counts, strict=False))
    if not fit or len(records) > len(label_counts):
        raise RunError(
            f"the rounds in run_dir '{run}' have other sizes than the options loop.* give: choose another run_dir, or "
            "start anew with --overwrite"
        )


def restore(data: ActiveDataModule, records: list[RoundRecord], amendments: Amendments, seed: int, run: Path) -> None:
    """Move the images of the recorded rounds as the loop did.

    Args:
        data: data module after ``setup``; it is reset first.
        records: records of all finished rounds.
        amendments: the changes that a person made to the run.
        seed: the run's seed.
        run: the run directory.

    Raises:
        RunError: the records belong to other images.
    """
    data.reset(seed)
    learn = data.num_pool + len(data.test_order())
    first = records[0].num_labeled + records[0].num_pool if records else learn
    skipped = records[0].skipped if records else None
    apart = len(data.test_order()) + (len(skipped.index) if skipped else 0)
    if not first <= learn <= first + apart:
        raise RunError(
            f"expected {counted(first, 'training image')}, as in the records of run_dir '{run}', got {learn}: restore "
            "the former dataset, or start anew with --overwrite"
        )
    for record in records:
        try:
            repeat_round(data, record, amendments)
        except ValueError as error:
            raise RunError(
                f"the record of round {record.round} in '{run}' does not fit the data ({error}): restore the former "
                "dataset, or start anew with --overwrite"
            ) from None
    if records and (pseudo := records[-1].pseudo_labels):
        index, labels = pseudo.tensors()
        stay = data.in_pool[index]  # without images that a person has removed since
        data.split.set_pseudo_labels(index[stay], labels[stay])


def initial_set_of(data: ActiveDataModule, record: RoundRecord) -> InitialSet:
    """Move the images of a recorded initial set.

    Args:
        data: data module before round 0.
        record: record of round 0, without a query.
    """
    move_as_recorded(data, record)
    return InitialSet(record.initial, record.held_out, record.skipped, record.votes)


def keep_batches(run: RunDirectory, data: ActiveDataModule, processes: int) -> None:
    """Train on the batches of the version that began the run; older versions lack two keys and had other defaults.

    Args:
        run: the run directory; its configuration loses the keys, so that it equals the written one.
        data: the run's data module.
        processes: number of processes.
    """
    written, now = run.written_config(), flatten(run.config)
    if began_without(PER_DEVICE, written, now):
        run.config = without_key(run.config, PER_DEVICE)
        data.batch_size_per_device = data.batch_size_per_device or processes > 1
    if began_without(LAST_BATCH, written, now):
        run.config = without_key(run.config, LAST_BATCH)
        data.last_batch = FORMER_LAST_BATCH
