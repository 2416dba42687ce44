"""Corrections from a CSV file, checked against the labels that a run has."""

from dataclasses import replace
from pathlib import Path

from msal_lightning.errors import AnnotationError
from msal_lightning.oracles.base import LabelingBatch, LabelingTask
from msal_lightning.oracles.csv_files.csv_file import read_answers
from msal_lightning.runs.amendments import Correct
from msal_lightning.runs.reading import Run
from msal_lightning.runs.records import LabeledImages


def read_corrections(run: Run, file: Path) -> Correct:
    """Read a CSV file of corrected labels.

    Args:
        run: the run, whose records name the images with labels.
        file: columns path, or the index of the image where the data has no files, and label.

    Raises:
        AnnotationError: a line names an image without a label, or no class of the run; or no label differs.
    """
    removed = run.amendments.removed
    known = {
        index: (label, path) for part in _labeled(run) for index, label, path in _rows(part) if index not in removed
    }
    names = run.class_names
    if not known or not names:
        raise AnnotationError(f"expected a run with labels, got '{run.folder}' without a finished round: correct the "
                              "files of its request instead")  # fmt: skip
    items = tuple(
        LabelingTask(index, path or str(index), Path(path or ""), None, None, None, rank)
        for rank, (index, (_, path)) in enumerate(known.items())
    )
    batch = LabelingBatch("the labeled images", items, tuple(names), run.folder)
    answers = read_answers(batch, file, need_all=False)
    changes = []
    for item, answer in zip(items, answers, strict=True):
        if answer is None:
            continue
        if answer.label is None:
            raise AnnotationError(
                f"expected a class for '{item.path}' in '{file}', got {answer.reason}: leave the line out"
            )
        old, new = known[item.index][0], names.index(answer.label)
        if old != new:
            changes.append((item.index, old, new, known[item.index][1]))
    if not changes:
        raise AnnotationError(f"expected labels in '{file}' that differ from those of the run, got none: nothing to do")
    index, old_labels, new_labels, paths = (list(column) for column in zip(*changes, strict=True))
    return Correct(index, old_labels, new_labels, None if None in paths else paths)


def _labeled(run: Run) -> list[LabeledImages]:
    """Return all recorded images with their present labels."""
    present = run.amendments.present_labels
    return [replace(part, label=present(part, one.round)) for one in run.records for part, _ in one.moves()]


def _rows(part: LabeledImages) -> list[tuple[int, int, str | None]]:
    paths: list[str] | list[None] = part.path or [None] * len(part.index)
    return list(zip(part.index, part.label, paths, strict=True))
