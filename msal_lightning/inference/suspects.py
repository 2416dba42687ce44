"""The labels of a run that its model doubts, as a CSV file and a page to label them again."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from msal_lightning.arrays.label_issues import FOLDS, find_suspects, out_of_fold
from msal_lightning.data import ActiveDataModule
from msal_lightning.data.batches.loading import Batch
from msal_lightning.data.batches.read_only import read_only
from msal_lightning.data.label_files.label_set import LabelRow
from msal_lightning.data.places import REASONS
from msal_lightning.datasets import Embeddings
from msal_lightning.errors import RunError
from msal_lightning.inference.rebuild import Rebuilt, read_own_data, rebuild
from msal_lightning.runs.labels import labels_of
from msal_lightning.runs.reading import Run
from msal_lightning.runs.trained_model import read_trained

_STEP = 128  # images of one step


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong.

    Attributes:
        row: the image and its label.
        suspected: name of the probable class.
        confidence: probability of the label.
        suspected_confidence: probability of the suspected class.
    """

    row: LabelRow
    suspected: str
    confidence: float
    suspected_confidence: float


@dataclass(frozen=True)
class DoubtedLabels:
    """What the model of a run says about the run's labels.

    Attributes:
        data: the run's data.
        class_names: all class names, in the order of their numbers.
        checked: number of labels that were checked.
        left_out: number of labels of each class with fewer labels than folds; these were not checked.
        suspects: the most doubtful label first.
    """

    data: ActiveDataModule
    class_names: tuple[str, ...]
    checked: int
    left_out: dict[str, int]
    suspects: tuple[Suspect, ...]


def doubted_labels(
    run: Path, device: torch.device, words: Sequence[str] = (), trusted: Sequence[str] = ()
) -> DoubtedLabels:
    """Check all labels of a run, as they are now, by a linear head on the embeddings of the run's model.

    The head is trained on four fifths of the labels and asked about the others, five times. For data ``Embeddings`` it
    sees the features themselves. The labels of a request that is not in the records yet are left out.

    Args:
        run: a run directory, which stands for its last model, or one of its checkpoints.
        device: where the embeddings are computed.
        words: options of the run's data, like ``--data.root=FOLDER``.
        trusted: classes of other packages that a stranger's configuration may name.

    Raises:
        UserError: the run has no model or too few labels, is damaged, or its images cannot be read.
    """
    trained = read_trained(run, "RUN")
    names, rows = _recorded_labels(trained.run)
    counts = Counter(row.label for row in rows)
    left_out = {name: counts[name] for name in names if 0 < counts[name] < FOLDS}
    known = [name for name in names if counts[name] >= FOLDS]
    rows = [row for row in rows if row.label in known]
    if len(known) < 2:
        raise RunError(
            f"expected two classes with at least {FOLDS} labels each in '{trained.run.folder}', got "
            f"{len(known)} with so many: label more images first"
        )
    rebuilt = rebuild(trained, words, trusted, option="RUN")
    with read_only(not rebuilt.may_write):
        read_own_data(rebuilt.data)
    trained.restore_labels(rebuilt.data)  # it checks that the images are those of the run
    features = _features(rebuilt, torch.tensor([row.index for row in rows]), device)
    number = {name: c for c, name in enumerate(known)}
    labels = np.array([number[row.label] for row in rows])
    found = find_suspects(out_of_fold(features, labels), labels)
    suspects = tuple(
        Suspect(rows[k], known[c], given, other)
        for k, c, given, other in zip(*(values.tolist() for values in found), strict=True)
    )
    return DoubtedLabels(rebuilt.data, tuple(names), len(rows), left_out, suspects)


def _recorded_labels(run: Run) -> tuple[Sequence[str], list[LabelRow]]:
    recorded = {index for record in run.records for labeled, _ in record.moves() for index in labeled.index}
    rows = labels_of(run, Path()).rows
    return run.class_names, [row for row in rows if row.index in recorded and row.label not in REASONS]


@torch.inference_mode()
def _features(rebuilt: Rebuilt, index: torch.Tensor, device: torch.device) -> NDArray[np.float32]:
    data, model = rebuilt.data, rebuilt.model.to(device).eval()
    found = []
    for part in torch.split(index, _STEP):
        batch = data.scale(Batch(part, data.images[part].to(device), torch.full_like(part, -1)))
        values = batch.image.flatten(1) if isinstance(data, Embeddings) else model.embed(batch.image)
        found.append(values.float().cpu())
    features: NDArray[np.float32] = torch.cat(found).numpy()
    return features
