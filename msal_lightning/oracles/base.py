"""The contract between the loop and whoever knows the labels."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule


@dataclass(frozen=True)
class LabelingTask:
    """An image whose label is asked for.

    Attributes:
        index: dataset-absolute.
        path: as in the ledger: relative to data.root.
        file: where the image lies, absolute.
        suggested: name of the class that the model predicts; None before there is a model.
        score: of the strategy; None where it has none.
        confidence: the largest probability; None before there is a model.
        rank: 0 = queried first.
    """

    index: int
    path: str
    file: Path
    suggested: str | None
    score: float | None
    confidence: float | None
    rank: int


@dataclass(frozen=True)
class LabelingBatch:
    """What is asked at once.

    Attributes:
        name: ``initial``, ``round-003``; ``round-003-2`` for the replacements of skipped images.
        items: ranks 0, 1, ...
        class_names: in the order of their numbers.
        folder: for the files of the question, below the run directory.
    """

    name: str
    items: tuple[LabelingTask, ...]
    class_names: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Annotation:
    """What was said about one image.

    Attributes:
        label: name of its class; None: the image is not to be used.
        reason: ``skip`` or ``unsure`` where there is no label.
    """

    label: str | None
    reason: str = ""


class AwaitingLabels(Exception):  # noqa: N818 - not an error: the run waits
    """Not all labels are there yet; what is there stays where it is.

    Args:
        count: labels that are missing.
        where: what a person has to look at: a file, a page.
        how: what to do there, a sentence.

    Attributes:
        record: the round whose labels are missing, as far as it is known; None for the initial set.
    """

    record: Any = None

    def __init__(self, count: int, where: str, how: str = "") -> None:
        super().__init__(f"waiting for {count} label{'' if count == 1 else 's'} in {where}")
        self.count = count
        self.where = where
        self.how = how


class Oracle(ABC):
    """Whoever answers for the labels of the pool. A subclass has one method; its ``__init__`` is its configuration.

    Attributes:
        needs_annotator: somebody has to look at the images; False: the labels that came with the data are the answers,
            so that the loop needs no files, no predictions and no waiting.
        allow_new_classes: an answer may name a class that was not known; the next model has it.
    """

    needs_annotator: ClassVar[bool] = True
    allow_new_classes: bool = False

    def connect(self, data: "ActiveDataModule") -> None:
        """Called once on every process before the first question, with the images that questions are about.

        Raises:
            UserError: this oracle cannot ask about them.
        """

    @abstractmethod
    def ask(self, batch: LabelingBatch) -> list[Annotation]:
        """Answers to all items, in their order, on the first process only.

        The same question is asked again, also by another process after a kill, until it is answered.

        Args:
            batch: what is asked; a folder for its files is there.

        Raises:
            AwaitingLabels: some are missing.
            UserError: an answer is wrong; nothing was taken over.
        """
