"""A table in Weights & Biases: some images of each query, with the model's predictions."""

import json
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import displayable
from msal_lightning.io.terminal import clean
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.models.predictor import Predictor
from msal_lightning.runs.classes import class_names
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.records import RoundRecord

if TYPE_CHECKING:
    import wandb

FOLDER = "queried"
"""Folder of a run directory with one file per round, so that a run resumed elsewhere can show earlier rounds again."""

FILES = (rf"{FOLDER}/[0-9]{{3,}}\.json",)
"""Files that this module writes into a run directory, see :mod:`~msal_lightning.io.own_files`."""
COLUMNS: list[str | int] = ["round", "rank", "image", "score", "predicted", "label", "index"]


class QueriedImages:
    """Saves the model's predictions for some queried images, and shows them once their labels are recorded.

    The images are evenly spread over the ranks of a query and include the first one, as on the contact sheet.

    Args:
        run: the run directory.
        data: data module with the images.
        limit: largest number of images per query.
    """

    def __init__(self, run: RunDirectory, data: ActiveDataModule, limit: int) -> None:
        self._run = run
        self._data = data
        self._limit = limit

    def predict(self, round: int, queried: Tensor, model: MSALClassifier, trainer: Trainer) -> None:
        """Predict some queried images in a small forward pass, before the round's record is written.

        Args:
            round: number of the round.
            queried: (b,) int64, best first.
            model: model of the round, as it queried.
            trainer: trainer of the round.

        Raises:
            UserError: the file cannot be written.
        """
        number = min(self._limit, len(queried))
        if not number:
            return
        ranks = [rank * len(queried) // number for rank in range(number)]
        index = queried[ranks]
        predicted = Predictor(model, trainer).probabilities(self._data, index).argmax(dim=1).tolist()
        self._run.save_file(_file_name(round), json.dumps({"index": index.tolist(), "predicted": predicted}).encode())

    def table(self, record: RoundRecord) -> "wandb.Table | None":
        """Return one row per image; None for a round without saved predictions."""
        file = self._run.path / _file_name(record.round)
        if not file.exists():
            return None
        import wandb

        kept = json.loads(file.read_text(encoding="utf-8"))
        queried = record.queried
        names = class_names(self._run.records[: record.round + 1]) or self._data.class_names  # of that time
        rank_of = {index: rank for rank, index in enumerate(queried.index)}
        # skipped images do not count as queried
        shown = [(rank_of[i], guess) for i, guess in zip(kept["index"], kept["predicted"], strict=True) if i in rank_of]
        images = self._data.pictures(torch.tensor([queried.index[rank] for rank, _ in shown], dtype=torch.int64))
        rows: list[list[Any]] = [
            [
                record.round,
                rank,
                wandb.Image(_picture(image)),
                None if queried.score is None else queried.score[rank],
                clean(names[predicted]),
                clean(names[queried.label[rank]]),
                queried.index[rank],
            ]
            for (rank, predicted), image in zip(shown, images, strict=True)
        ]
        return wandb.Table(columns=COLUMNS, data=rows)


def _picture(image: Tensor) -> Image.Image:
    return Image.fromarray(displayable(image))


def _file_name(round: int) -> str:
    return f"{FOLDER}/{round:03d}.json"
