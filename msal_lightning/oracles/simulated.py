"""The oracle for benchmarks."""

from typing import TYPE_CHECKING, ClassVar

import torch

from msal_lightning.oracles.base import Annotation, LabelingBatch, Oracle

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule


class Simulated(Oracle):
    """Reveals the labels that came with the data; each label counts when it is queried.

    The loop takes these labels from the data directly; :meth:`ask` is for callers with a batch.
    """

    needs_annotator: ClassVar[bool] = False

    def connect(self, data: "ActiveDataModule") -> None:  # noqa: D102
        self._hidden_labels = data.hidden_labels

    def ask(self, batch: LabelingBatch) -> list[Annotation]:  # noqa: D102
        labels = self._hidden_labels.label(torch.tensor([item.index for item in batch.items], dtype=torch.int64))
        return [Annotation(batch.class_names[label]) for label in labels.tolist()]
