"""The paper's figures of merit, as torchmetrics."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from msal_lightning.models.class_results import MOST_CLASSES, ClassResults, sparse_rows

_MOST_SCORES = 2**27  # numbers, half a gigabyte: a test of a million images of 1,000 classes would fill a GPU


class AUBC(Metric):
    """Area under the budget curve: the mean accuracy over the budget.

    Trapezoids over the measured (labels, accuracy) points, divided by the range of labels, so that unequal query sizes
    weigh as much as they cost and a flat curve of 0.8 gives 0.8. One point has no area: NaN.

    [0] Zhan et al., 2021, A Comparative Survey: Benchmarking for Pool-based Active Learning, IJCAI

    Example:
        >>> aubc = AUBC()
        >>> aubc.update(100, 0.5)
        >>> aubc.update(200, 0.7)
        >>> aubc.update(400, 0.8)
        >>> round(float(aubc.compute()), 6)
        0.7
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    num_labeled: list[Tensor]
    accuracy: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("num_labeled", default=[], dist_reduce_fx="cat")
        self.add_state("accuracy", default=[], dist_reduce_fx="cat")

    def update(self, num_labeled: int | Tensor, accuracy: float | Tensor) -> None:
        """Add points of the curve, in any order.

        Args:
            num_labeled: labels queried so far, the initial set included; one number or (R,).
            accuracy: test accuracy of the model trained on them; one number or (R,).

        Raises:
            ValueError: not as many accuracies as label counts.
        """
        labels = torch.as_tensor(num_labeled, dtype=torch.float64, device=self.device).reshape(-1)
        values = torch.as_tensor(accuracy, dtype=torch.float64, device=self.device).reshape(-1)
        if labels.shape != values.shape:
            raise ValueError(f"expected one accuracy a label count, got {len(values)} for {len(labels)}")
        self.num_labeled.append(labels)
        self.accuracy.append(values)

    def compute(self) -> Tensor:
        """The area, a float64 scalar."""
        if not len(self.num_labeled):
            return torch.tensor(torch.nan, dtype=torch.float64)
        labels = torch.cat(list(self.num_labeled)) if isinstance(self.num_labeled, list) else self.num_labeled
        values = torch.cat(list(self.accuracy)) if isinstance(self.accuracy, list) else self.accuracy
        labels, order = labels.sort()
        return torch.trapezoid(values[order], labels) / (labels[-1] - labels[0])


def area_under_budget_curve(num_labeled: list[int], accuracy: list[float]) -> float:
    """:class:`AUBC` of a whole curve at once."""
    aubc = AUBC(sync_on_compute=False)  # a curve is whole on each process
    aubc.update(torch.tensor(num_labeled), torch.tensor(accuracy, dtype=torch.float64))
    return float(aubc.compute())


class ClassMetrics(Metric):
    """Results of a model for each class: counts, the confusion matrix, and AUROC of each class against the others.

    It keeps label, prediction and, for up to 1,000 classes and half a gigabyte, probabilities of all images on their
    device, and computes once, at the end: no batch makes a GPU wait for the host, and no C × C tensor is made, which
    torchmetrics' own macro averages make for every batch.

    Args:
        num_classes: C.

    Example:
        >>> metrics = ClassMetrics(2)
        >>> metrics.update(torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), torch.tensor([0, 1, 1]))
        >>> metrics.results().confusion
        ['0:1', '0:1 1:1']
    """

    is_differentiable = False
    full_state_update = False
    target: list[Tensor]
    predicted: list[Tensor]
    probabilities: list[Tensor]
    num_dropped: Tensor

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self._num_kept = 0  # known without asking the device
        for name in ("target", "predicted", "probabilities"):
            self.add_state(name, default=[], dist_reduce_fx="cat")
        self.add_state("num_dropped", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch.

        Args:
            logits: (B, C).
            target: (B,) int64.
        """
        _keep(self.target, target)
        _keep(self.predicted, logits.argmax(dim=1))
        self._num_kept += logits.numel()
        if self.num_classes <= MOST_CLASSES and self._num_kept <= _MOST_SCORES:
            _keep(self.probabilities, logits.float().softmax(dim=1))
        else:
            self.probabilities = [logits.new_empty((0, self.num_classes), dtype=torch.float32)]
            self.num_dropped += len(target)

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self._num_kept = 0

    def compute(self) -> dict[str, Tensor]:
        """Compute the results of all processes together.

        Returns:
            ``images``, ``predicted`` and ``correct`` (C,) int64; ``cells`` (K, 3) int64, the entries of the confusion
            matrix that are not 0, and ``auroc`` (C,) float64, NaN where undefined, unless they are left out.
        """
        size = self.num_classes
        target, predicted = dim_zero_cat(self.target), dim_zero_cat(self.predicted)
        pair, count = torch.unique(target * size + predicted, return_counts=True)
        found = {
            "images": torch.bincount(target, minlength=size),
            "predicted": torch.bincount(predicted, minlength=size),
            "correct": torch.bincount(target[target == predicted], minlength=size),
        }
        if size <= MOST_CLASSES:
            found["cells"] = torch.stack([pair // size, pair % size, count], dim=1)
        if not int(self.num_dropped):
            found["auroc"] = one_against_the_others(dim_zero_cat(self.probabilities), target)
        return found

    def results(self) -> ClassResults:
        """:meth:`compute`, as plain numbers."""
        found = {name: value.tolist() for name, value in self.compute().items()}
        cells = found.pop("cells", None)
        auroc = found.pop("auroc", None)
        return ClassResults(
            **found,
            auroc=None if auroc is None else [None if value != value else round(value, 6) for value in auroc],
            confusion=None if cells is None else sparse_rows(cells, self.num_classes),
        )


def _keep(parts: list[Tensor], new: Tensor) -> None:
    """Append rows, and join parts so that each has more rows than the next.

    Many small tensors would lie between the large ones that a batch needs and frees, so that no freed place is large
    enough for the next batch: two million rows of 384 features took 1.7 GB more.
    """
    parts.append(new)
    while len(parts) > 1 and len(parts[-2]) <= len(parts[-1]):
        last = parts.pop()
        parts[-1] = torch.cat([parts[-1], last])


def one_against_the_others(scores: Tensor, target: Tensor) -> Tensor:
    """Area under the ROC curve of each class against all others, exact, ties counted by half.

    It is the chance that an image of the class has a higher score for it than an image of another class (Mann-Whitney).

    Args:
        scores: (N, C), higher = rather this class.
        target: (N,) int64.

    Returns:
        (C,) float64 on the CPU, NaN for a class of all images or of none.
    """
    counts: list[int] = torch.bincount(target, minlength=scores.shape[1]).tolist()
    rows_of_class = torch.split(target.argsort(), counts)
    twice = []  # pairs in order, times two
    for c, rows in enumerate(rows_of_class):
        ascending, of_class = scores[:, c].sort().values, scores[rows, c]
        below = torch.searchsorted(ascending, of_class)
        up_to = torch.searchsorted(ascending, of_class, right=True)
        twice.append((below + up_to).sum())
    won = torch.stack(twice).cpu().double()
    positive = torch.tensor(counts, dtype=torch.float64)
    # the pairs within the class, of which each wins one half, do not count
    return (won - positive**2) / 2 / (positive * (len(target) - positive))
