"""The labeling tasks of the images that a query selected."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import AnnotationError
from msal_lightning.models.predictor import Predictor
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.query.shortlist import Selection


def make_items(data: ActiveDataModule, selection: Selection, predictor: Predictor | None) -> tuple[LabelingTask, ...]:
    """Make the tasks of a batch: each image with its predicted class.

    Args:
        data: owns the images.
        selection: the selected images, best first.
        predictor: the model that selected them; None before the first model.

    Raises:
        AnnotationError: two images have the same path.
    """
    index = selection.index
    paths = data.paths(index) or [str(i) for i in index.tolist()]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise AnnotationError(f"expected a different path for each image, got '{twice}' twice: rename one of the files")
    suggested: list[tuple[int, float]] | list[None] = [None] * len(index)
    if predictor is not None and len(index):
        best = predictor.probabilities(data, index).max(dim=1)
        suggested = list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    scores = [None] * len(index) if selection.score is None else selection.score.tolist()
    rows = zip(index.tolist(), paths, data.locations(index) or map(Path, paths), suggested, scores, strict=True)
    return tuple(
        LabelingTask(
            index=i,
            path=path,
            file=file,
            suggested=None if guess is None else data.class_names[guess[0]],
            score=None if score is None else shortest(score),
            confidence=None if guess is None else round(guess[1], 4),
            rank=rank,
        )
        for rank, (i, path, file, guess, score) in enumerate(rows)
    )


def with_files(batch: LabelingBatch, data: ActiveDataModule) -> LabelingBatch:
    """Return a batch with the places where its images are now."""
    files = data.locations(torch.tensor([item.index for item in batch.items], dtype=torch.int64))
    if files is None:
        return batch
    return replace(batch, items=tuple(replace(item, file=file) for item, file in zip(batch.items, files, strict=True)))


def shortest(value: float) -> float:
    """Return the shortest decimal with the same float32: 0.974 instead of 0.9739999771118164."""
    return float(str(np.float32(value)))
