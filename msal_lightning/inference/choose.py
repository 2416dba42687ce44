"""The order of events of ``threshold``: score held-out and test images, choose on the first, measure on both."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from msal_lightning.data import ActiveDataModule
from msal_lightning.data.batches.loading import ImageStore
from msal_lightning.data.batches.read_only import read_only
from msal_lightning.errors import ConfigError, RunError
from msal_lightning.inference.decision import Decision, choose_threshold, measure
from msal_lightning.inference.network import ReadyNetwork, Scorer
from msal_lightning.inference.rebuild import read_own_data, rebuild
from msal_lightning.inference.threshold_file import write_threshold
from msal_lightning.io.suggestions import did_you_mean
from msal_lightning.runs.trained_model import read_trained

_STEP = 128  # images of one step


@dataclass(frozen=True)
class Scored:
    """Images whose labels the model has not seen.

    Attributes:
        labels: (N,) classes.
        probabilities: (N, C).
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    def report(self, number: int, decision: Decision) -> dict[str, Any]:
        """Measure the most probable class, and the decision, as plain values."""
        most_probable = self.probabilities.argmax(axis=1)
        return {
            "images": len(self.labels),
            "of_class": int((self.labels == number).sum()),
            "most_probable": asdict(measure(self.labels, most_probable, number)),
            "threshold": asdict(measure(self.labels, decision.classes(self.probabilities), number)),
        }


def choose_for_run(
    run: Path,
    name: str,
    metric: str,
    recall: float | None,
    device: torch.device,
    words: Sequence[str] = (),
    trusted: Sequence[str] = (),
) -> tuple[dict[str, Any], Path]:
    """Choose the threshold of a class on the labels that the model was validated on, and write it into the run.

    Args:
        run: a run directory, which stands for its last model, or one of its checkpoints.
        name: name of the class.
        metric: see :func:`~msal_lightning.inference.decision.choose_threshold`.
        recall: the same.
        device: where the model runs.
        words: options of the run's data, like ``--data.root=FOLDER``.
        trusted: classes of other packages that a stranger's configuration may name.

    Returns:
        The content of the file, and the file.

    Raises:
        UserError: the class is unknown, or the run has no held-out labels of it.
    """
    trained = read_trained(run, "RUN")
    rebuilt = rebuild(trained, words, trusted, option="RUN")
    data = rebuilt.data
    if not data.validation_fraction:
        raise ConfigError(
            "expected a run with data.validation_fraction above 0, whose labels for validation choose the threshold, "
            "got 0: trained labels would choose a wrong one, and the test set must not; begin a run with 0.2"
        )
    with read_only(not rebuilt.may_write):
        read_own_data(data)
    trained.restore_fit(data)
    names = rebuilt.class_names
    if name not in names:
        raise ConfigError(
            f"expected --class to be one of {', '.join(names[:8])}, got '{name}'{did_you_mean(name, names)}"
        )
    network = ReadyNetwork(rebuilt.model, data.mean, data.std, torch.uint8 in data.dtypes)
    scorer, number = Scorer(network, device), names.index(name)
    held_out = _score(data.images, data.validated, data.labels, scorer)
    _check_labels(held_out, number, name)
    threshold = choose_threshold(held_out.probabilities[:, number], held_out.labels == number, metric, recall)
    decision = Decision(number, threshold)
    content = {
        "class": name,
        "threshold": threshold,
        "chosen_by": metric if recall is None else f"recall {recall:g}",
        "held_out": held_out.report(number, decision),
        "test": _test(data, scorer).report(number, decision),
    }
    return content, write_threshold(trained, content)


def _check_labels(scored: Scored, number: int, name: str) -> None:
    there = int((scored.labels == number).sum())
    if not 0 < there < len(scored.labels):
        raise RunError(
            f"expected held-out labels of '{name}' and of other classes, got {there} of it among {len(scored.labels)}: "
            "label more images, or raise data.validation_fraction in another run"
        )


def _test(data: ActiveDataModule, scorer: Scorer) -> Scored:
    if len(data.test.label):
        return _score(data.test.image, torch.arange(len(data.test.label)), data.test.label, scorer)
    return _score(data.images, data.held_out, data.labels, scorer)


def _score(images: ImageStore, index: torch.Tensor, labels: torch.Tensor, scorer: Scorer) -> Scored:
    found = [
        scorer(images[part] if images.dtype == torch.uint8 else images[part].flatten(1)).cpu()
        for part in torch.split(index, _STEP)
    ]
    return Scored(labels[index].long().numpy(), torch.cat(found).numpy())
