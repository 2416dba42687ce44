"""The paper's figures of merit, as torchmetrics."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


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
            num_labeled: labels bought so far, the initial set included; one number or (R,).
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
