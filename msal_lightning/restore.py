"""The split as the records of a run have it."""

from pathlib import Path

import torch

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import UserError
from msal_lightning.replay import know_classes
from msal_lightning.runs import Purchase, RoundRecord


def restore(data: ActiveDataModule, records: list[RoundRecord], seed: int, run: Path) -> None:
    """Move the images of the recorded rounds, as the loop had done.

    Args:
        data: set up; it is reset first.
        records: of all finished rounds.
        seed: of the run.
        run: its directory.

    Raises:
        UserError: the records are of other images.
    """
    data.reset(seed)
    learn = len(data.pool)
    first = records[0].num_labeled + records[0].num_pool if records else learn
    skipped = records[0].skipped if records else None
    if not first <= learn <= first + (len(skipped.index) if skipped else 0):
        raise UserError(
            f"expected {first} images to learn from, as in the records of run_dir '{run}', got {learn}: bring the "
            "former dataset back, or start anew with --overwrite"
        )
    for record in records:
        held_out = record.held_out or Purchase()
        for purchase, trained_from in ((held_out, 0), (record.initial, 0), (record.bought, record.round + 1)):
            index, label = (torch.tensor(column, dtype=torch.int64) for column in (purchase.index, purchase.label))
            try:
                data.restore(index, label, trained_from)
                data.check_paths(index, purchase.path)
                if purchase is held_out:
                    data.hold_out(index)
                if record.skipped and trained_from:
                    data.skip(torch.tensor(record.skipped.index, dtype=torch.int64))
                if trained_from and record.class_names:
                    know_classes(data, record.class_names)
            except ValueError as error:
                raise UserError(
                    f"the record of round {record.round} in '{run}' does not fit the data ({error}): bring the former "
                    "dataset back, or start anew with --overwrite"
                ) from None
    if records and (pseudo := records[-1].pseudo_labels):
        index, label = (torch.tensor(column, dtype=torch.int64) for column in (pseudo.index, pseudo.label))
        data.set_pseudo_labels(index, label)
