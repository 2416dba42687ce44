"""The contract between the loop and an oracle."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from msal_lightning.data.base import ActiveDataModule


@dataclass(frozen=True)
class LabelingTask:
    """An image to be labeled.

    Attributes:
        index: dataset-absolute.
        path: path relative to data.root, as in the ledger; the index where the data has no image files.
        file: absolute path of the image.
        suggested: name of the predicted class; None before the first model.
        score: score of the strategy; None if it has no score.
        confidence: probability of the predicted class; None before the first model.
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
    """The images of one labeling request.

    Attributes:
        name: ``initial`` or ``round-003``; ``round-003-2`` for replacements of skipped images.
        items: tasks with ranks 0, 1, ...
        class_names: known classes in the order of their numbers.
        folder: folder for the files of the batch, below the run directory.
        earlier: what annotators said about images that are labeled already: pairs of name and word for each.
    """

    name: str
    items: tuple[LabelingTask, ...]
    class_names: tuple[str, ...]
    folder: Path
    earlier: tuple[tuple[tuple[str, str], ...], ...] = ()


@dataclass(frozen=True)
class Annotation:
    """The label of one image, or the reason why it has none.

    Attributes:
        label: name of the class; None for an image that cannot be used.
        reason: ``skip`` or ``unsure`` if there is no label.
        votes: what each annotator said, as pairs of name and :attr:`word`; empty if nobody is named.
    """

    label: str | None
    reason: str = ""
    votes: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def word(self) -> str:
        """The class, ``skip`` or ``unsure``."""
        return self.label or self.reason


class AwaitingLabels(Exception):  # noqa: N818 - not an error: the run waits
    """Labels are missing; labels that are there already are kept.

    Args:
        count: number of missing labels.
        where: place where a person labels: a file or a page.
        how: instruction for the person, a sentence.

    Attributes:
        record: draft of the record of the round whose labels are missing; None for the initial set.
    """

    record: Any = None

    def __init__(self, count: int, where: str, how: str = "") -> None:
        super().__init__(f"waiting for {count} label{'' if count == 1 else 's'} in {where}")
        self.count = count
        self.where = where
        self.how = how


class Oracle(ABC):
    """Labels images of the pool. A subclass needs the method :meth:`ask`; its ``__init__`` defines its options.

    Attributes:
        needs_annotator: whether somebody must look at the images. If False, the labels that came with the data are
            used, so the loop needs no files, no predictions and no waiting.
        allow_new_classes: whether an annotation may name an unknown class, which the next model then has.
    """

    needs_annotator: ClassVar[bool] = True
    allow_new_classes: bool = False

    def connect(self, data: "ActiveDataModule") -> None:
        """Prepare for batches of images from ``data``; called once on every process before the first batch.

        Raises:
            UserError: this oracle cannot handle such images.
        """

    @abstractmethod
    def ask(self, batch: LabelingBatch) -> list[Annotation]:
        """Return one annotation per task, in order; called on the first process only.

        The loop calls this method with the same batch until it returns, even from another process after a kill.

        Args:
            batch: the images to label; its folder exists.

        Raises:
            AwaitingLabels: labels are missing.
            UserError: an annotation is wrong; none was accepted.
        """
