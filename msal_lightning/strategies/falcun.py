"""FALCUN: fast active learning by contrastive uncertainty."""

import torch
from torch import Generator, Tensor

from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.margin import Margin
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.shared.kmeans_plus_plus import draw_rows


class FALCUN(Strategy):
    """Images that are uncertain and whose predicted probabilities differ from those of the selected images.

    An image is drawn with probability proportional to ``(u + d)^gamma``. Its uncertainty u is Margin. Its diversity d
    is u at first, and then the smallest sum of absolute differences between its probabilities and those of a selected
    image, scaled to the range from 0 to 1 after each draw. The scaled values go into the next minimum, as in
    scikit-activeml. A query reads probabilities only, so its cost does not depend on the width of the embeddings.

    [0] Gilhuber et al., 2024, FALCUN: A Simple and Efficient Deep Active Learning Strategy, ECML PKDD

    Args:
        gamma: 0 draws at random, a large value takes the largest sum. 10 in the paper.

    Raises:
        ValueError: gamma is negative or infinite.
    """

    def __init__(self, gamma: float = 10.0) -> None:
        if not 0 <= gamma < torch.inf:
            raise ValueError(f"query.gamma must be a number of at least 0, got {gamma}: 10 is the paper's value")
        self.gamma = gamma

    def shortlist_size(self, n: int) -> None:  # noqa: D102
        return None

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:  # noqa: D102
        probabilities = shortlist.probabilities()
        uncertainty = Margin().of(probabilities).double()
        diversity = uncertainty.clone()
        free = torch.ones(len(shortlist), dtype=torch.bool)
        picks: list[int] = []
        for uniform in torch.rand(n, generator=generator, dtype=torch.float64):
            row = int(draw_rows(self._weight(uncertainty + diversity, free), uniform[None]))
            picks.append(row)
            free[row] = False
            distance = (probabilities - probabilities[row]).abs_().sum(dim=1).double()
            diversity = _scaled(torch.minimum(diversity, distance))
        return torch.tensor(picks)

    def _weight(self, relevance: Tensor, free: Tensor) -> Tensor:
        """Weights of a draw, (N,) float64: 0 for selected rows, and equal ones if all are 0."""
        left = relevance.masked_fill(~free, 0)
        # divide by the largest first: a high power could overflow
        weight = (left / left.max().clamp_min(torch.finfo(left.dtype).tiny)).pow(self.gamma).masked_fill(~free, 0)
        return weight if weight.any() else free.double()


def _scaled(values: Tensor) -> Tensor:
    """Scale values to the range from 0 to 1; equal values become 0."""
    least, largest = values.aminmax()
    return (values - least) / (largest - least if largest > least else 1)
