"""A trained model of a run, read from its checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from msal_lightning.data import ActiveDataModule
from msal_lightning.data.fingerprint import Print
from msal_lightning.errors import RunError, UserError
from msal_lightning.runs.changed_images import changed_images
from msal_lightning.runs.classes import class_names, segment_of
from msal_lightning.runs.image_order import known_images
from msal_lightning.runs.moves import move_as_recorded, repeat_all
from msal_lightning.runs.reading import Run, read_run
from msal_lightning.runs.records import LabeledImages, RoundRecord
from msal_lightning.training.checkpoint import load_checked


@dataclass(frozen=True)
class Trained:
    """The model of one round.

    Attributes:
        run: the run that trained the model.
        file: the checkpoint.
        round: k.
        weights: the state dict.
    """

    run: Run
    file: Path
    round: int
    weights: dict[str, Tensor]

    @property
    def class_names(self) -> list[str] | None:
        """Names of the classes in this model's order, and of those added later; None if only the data has them.

        Renamed classes have their new names; classes that were merged or split later have their former ones.
        """
        run, round = self.run, self.round
        if round >= len(run.records):  # its labels are requested
            return run.class_names or None
        return class_names(segment_of(run.named_records, round)) or None

    @property
    def num_classes(self) -> int:
        """C of this model; annotators may have named more classes later."""
        if "head.weight" in self.weights:
            return len(self.weights["head.weight"])
        return len(self.weights["head.0.weight"]) + 1  # the layer below the prototypes

    @property
    def labeled_paths(self) -> set[str]:
        """Paths of labeled and skipped image files; empty if the run's data has no image files."""
        records = self.run.records
        parts = [
            part for record in records for part in (record.initial, record.queried, record.held_out, record.skipped)
        ]
        return {path for part in parts if part for path in part.path or []}

    def labeled_prints(self) -> dict[str, Print]:
        """Fingerprints of these files, by path; empty if the run's version stored none."""
        paths = self.labeled_paths
        try:
            known = known_images(self.run.folder, self.run.amendments)
            return {image.path: image for image in known if image.part == "train" and image.path in paths}
        except (OSError, ValueError):
            return {}

    def restore_labels(self, data: ActiveDataModule) -> None:
        """Label the images that the run has labeled, in the run's own data.

        Raises:
            RunError: the data differs.
        """
        self._restore(data, self.run.records)

    def restore_fit(self, data: ActiveDataModule) -> None:
        """Put the run's own data into the state in which this model was fitted.

        Raises:
            RunError: the data differs.
        """
        self._restore(data, self.run.records[: self.round])
        if not self.round:
            first = self.run.records[0]
            move_as_recorded(data, replace(first, queried=LabeledImages(), skipped=None))
        data.enter(round=self.round)

    def _restore(self, data: ActiveDataModule, records: Sequence[RoundRecord]) -> None:
        if change := changed_images(data, self.run.folder, self.run.records[0], ("train",)):
            raise self._other_images(change)
        try:
            repeat_all(data, self.run, records)
        except ValueError as error:
            raise self._other_images(str(error)) from None

    def _other_images(self, change: str) -> RunError:
        return RunError(
            f"expected the images of the run '{self.run.folder}', got others ({change}): set data.root to the folder "
            "of that run's images"
        )


def read_trained(checkpoint: Path, option: str = "--checkpoint") -> Trained:
    """Read a model; no code in the file is run.

    Args:
        checkpoint: ``RUN_DIR/checkpoints/round-KKK.ckpt``, or a run directory, which stands for its last model.
        option: option that names it, for messages.

    Raises:
        RunError: there is no model, or it is damaged.
    """
    file = checkpoint
    if checkpoint.is_dir():
        files = sorted((checkpoint / "checkpoints").glob("round-*.ckpt"))
        if not files:
            raise RunError(
                f"expected a run directory with the model of a round in {option}, found none in '{checkpoint}': "
                "finish a round of `fit` with loop.keep_checkpoints last or all"
            )
        file = files[-1]
    if not file.is_file():
        raise RunError(f"expected {option} to be a run directory or the model of a round, found no '{checkpoint}'")
    folder = file.absolute().parent.parent if file is checkpoint else checkpoint
    if not (folder / "config.yaml").is_file():
        raise RunError(
            f"expected the model '{file}' in the folder checkpoints of its run, found no '{folder / 'config.yaml'}', "
            f"which defines the model: give {option} the run directory"
        )
    try:
        found: dict[str, Any] = load_checked(file)
        split = next(part for part in found.values() if isinstance(part, dict) and "labeled_at" in part)
        trained = Trained(read_run(folder), file, int(split["round"]), found["state_dict"])
        _ = trained.num_classes
    except UserError:
        raise
    except Exception as error:  # a damaged or foreign file may raise anything
        why = " ".join(str(error).split()) or type(error).__name__
        raise RunError(f"cannot read the model '{file}' ({why:.100}): give {option} another round-KKK.ckpt") from None
    return trained
