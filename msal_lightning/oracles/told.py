"""Labels that a program tells one by one, with ``ActiveLoop.tell`` or on the page of ``serve``."""

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from msal_lightning.errors import AnnotationError, RunError
from msal_lightning.io.names import name_some
from msal_lightning.io.wording import counted
from msal_lightning.oracles.base import Annotation, AwaitingLabels, LabelingBatch, Oracle
from msal_lightning.oracles.csv_files.csv_file import KnownClasses, Votes, plain_path, read_votes, write_votes
from msal_lightning.oracles.csv_files.shares import Share, check_same_split
from msal_lightning.oracles.resolve import disagree, with_votes


class Told(Oracle):
    """Takes labels from a program, as many at a time as it has, in any order.

    Labels are kept in the CSV file that :class:`~msal_lightning.oracles.Files` writes, so that a run may change between
    both at any time. All methods may be called from any thread.

    Args:
        allow_new_classes: labels may name new classes, which the next model then has.
    """

    def __init__(self, allow_new_classes: bool = False) -> None:
        self.allow_new_classes = allow_new_classes
        self._lock = threading.Lock()
        self._open = dict[str, LabelingBatch]()  # by name

    def ask(self, batch: LabelingBatch) -> list[Annotation]:
        """Return the labels told so far if they are all there.

        Raises:
            AwaitingLabels: labels are missing.
            UserError: lines of the file are wrong, or several people share the batch.
        """
        file = _file(batch)
        check_same_split(batch, [Share("", batch)])
        with self._lock:
            if not file.exists():
                self._write(batch, [Votes() for _ in batch.items])
            votes = self._read(batch)
            if missing := sum(not given for given in votes):
                self._open[batch.name] = batch
                how = f"`serve {batch.folder.parent}` opens a page to label them, `loop.tell` takes them from a program"
                raise AwaitingLabels(missing, str(file), how)
            for item, given in zip(batch.items, votes, strict=True):
                if disagree(given):
                    words = name_some([vote.word for vote in given.values()])
                    raise AnnotationError(
                        f"expected one label of '{item.path}' in '{file}', got {words}: remove the wrong lines"
                    )
            self._open.pop(batch.name, None)
        return [with_votes(next(iter(given.values())), given) for given in votes]

    def tell(self, labels: Mapping[str, str], annotator: str = "") -> None:
        """Take labels of images whose labels are missing; they are on disk when this method returns.

        Args:
            labels: path of each image, as in its task, and its class, ``skip`` or ``unsure``; a blank word takes a
                label back. A later label of an image replaces an earlier one.
            annotator: who gives the labels; blank for nobody.

        Raises:
            AnnotationError: no label is missing for a path, or a class is not known. No label is taken then.
            RunError: the file cannot be written.
        """
        with self._lock:
            votes = {name: self._read(batch) for name, batch in self._open.items()}
            places = {
                plain_path(item.path): (name, k)
                for name, batch in self._open.items()
                for k, item in enumerate(batch.items)
            }
            if unknown := [path for path in labels if plain_path(path) not in places]:
                raise AnnotationError(
                    f"expected images whose labels are missing, got {name_some(unknown)}: `ask` returns them, and "
                    "`correct` changes a label that was accepted"
                )
            changed = dict[str, LabelingBatch]()
            classes = self._classes(votes)
            for path, word in labels.items():
                name, k = places[plain_path(path)]
                try:
                    answer = classes.answer(word)
                except ValueError as error:
                    raise AnnotationError(f"the label of '{path}' cannot be accepted: {error}") from None
                votes[name][k] = {} if answer is None else {annotator: answer}
                changed[name] = self._open[name]
            for name, batch in changed.items():
                self._write(batch, votes[name])

    def reopen(self, batch: LabelingBatch) -> None:
        """Take labels of a batch again after the run has refused them, for example because all are of one class.

        Args:
            batch: a batch of the run that is not accepted.
        """
        with self._lock:
            self._open[batch.name] = batch

    def told(self, batches: Iterable[LabelingBatch] | None = None) -> dict[str, str]:
        """Return the labels told so far: word by path.

        Args:
            batches: batches of the run; by default those that wait for labels.
        """
        with self._lock:
            wanted = self._open.values() if batches is None else batches
            found = [(batch, self._read(batch)) for batch in wanted if _file(batch).exists()]
        return {
            item.path: next(iter(given.values())).word
            for batch, votes in found
            for item, given in zip(batch.items, votes, strict=True)
            if given
        }

    def _classes(self, votes: Mapping[str, list[Votes]]) -> KnownClasses:
        """The classes of the batches, and those that labels have named since."""
        names = [name for batch in self._open.values() for name in batch.class_names]
        said = [vote.label for each in votes.values() for given in each for vote in given.values() if vote.label]
        return KnownClasses([*dict.fromkeys([*names, *said])], self.allow_new_classes)

    def _read(self, batch: LabelingBatch) -> list[Votes]:
        return read_votes(batch, _file(batch), self.allow_new_classes)

    def _write(self, batch: LabelingBatch, votes: list[Votes]) -> None:
        try:
            write_votes(batch, _file(batch), votes)
        except OSError as error:
            raise RunError(
                f"cannot write '{_file(batch)}' with {counted(len(votes), 'label')} ({error.strerror}): make room or "
                "give it back to you"
            ) from None


def _file(batch: LabelingBatch) -> Path:
    return batch.folder / f"{batch.name}.csv"
