"""The oracle of benchmarks."""

from typing import TYPE_CHECKING, ClassVar

import torch

from msal_lightning.oracles.base import Answer, Oracle, Question

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule


class Simulated(Oracle):
    """The labels are known beforehand: those of the data answer at once, each counted when it is bought.

    The loop buys them from the data itself; :meth:`ask` is for whoever holds a question.
    """

    instant: ClassVar[bool] = True

    def connect(self, data: "ActiveDataModule") -> None:  # noqa: D102
        self._truth = data.truth

    def ask(self, question: Question) -> list[Answer]:  # noqa: D102
        labels = self._truth.label(torch.tensor([item.index for item in question.items], dtype=torch.int64))
        return [Answer(question.class_names[label]) for label in labels.tolist()]
