"""What a model says about a few images, for the person who labels them."""

import numpy as np
import torch
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.views import Batch
from msal_lightning.errors import UserError
from msal_lightning.module import MSALClassifier
from msal_lightning.oracles.base import Item
from msal_lightning.selection import Selection


def suggest(model: MSALClassifier, data: ActiveDataModule, index: Tensor) -> list[tuple[int, float]]:
    """The most probable class of images, and its probability.

    A pass over the few images that were chosen, apart from the pool pass: strategies need not ask for logits, and
    nothing is kept of the other images.

    Args:
        model: of the round.
        data: owns the images.
        index: (n,) int64, dataset-absolute.

    Returns:
        n pairs: class and probability.
    """
    found = list[tuple[int, float]]()
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        for part in torch.split(index, data.eval_batch_size):
            batch = Batch(part, data.images[part].to(device), torch.full((len(part),), -1))
            logits = model.predict_step(data.scale(batch), 0)["logits"]
            best = logits.float().softmax(dim=1).max(dim=1)
            found += zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return found


def make_items(data: ActiveDataModule, selection: Selection, model: MSALClassifier | None) -> tuple[Item, ...]:
    """What a person is shown of the images that a query chose.

    Args:
        data: owns the images, which are files.
        selection: what was chosen, best first.
        model: that chose them; None before there is one.

    Raises:
        UserError: two images have the same path.
    """
    index = selection.index
    paths = data.paths(index) or []
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise UserError(f"expected a path of its own for each image, got '{twice}' twice: rename one of the files")
    suggested = suggest(model, data, index) if model is not None else [None] * len(index)
    scores = [None] * len(index) if selection.score is None else selection.score.tolist()
    rows = zip(index.tolist(), paths, data.locations(index) or [], suggested, scores, strict=True)
    return tuple(
        Item(
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


def shortest(value: float) -> float:
    """The shortest decimal that is the same float32: 0.974 instead of 0.9739999771118164."""
    return float(str(np.float32(value)))
