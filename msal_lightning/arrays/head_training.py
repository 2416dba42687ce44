"""The fit of a head on features in memory: the model's own loss, in a plain loop, with generators of its own."""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from msal_lightning.data.batches.epoch_batches import EpochBatches
from msal_lightning.data.batches.loading import Batch
from msal_lightning.models.classifier import MSALClassifier
from msal_lightning.seeding import stream


class SeededDropout(nn.Dropout):
    """Dropout that draws from a generator of its own instead of the global one.

    Args:
        p: probability of dropping a value.
        generator: draws the masks.
    """

    def __init__(self, p: float, generator: Generator) -> None:
        super().__init__(p)
        self.generator = generator

    def forward(self, input: Tensor) -> Tensor:
        """Drop values, and divide the others by the probability of keeping one."""
        keep = torch.empty_like(input).bernoulli_(1 - self.p, generator=self.generator)
        return input * keep.div_(1 - self.p)


def draw_weights(network: nn.Module, seed: int) -> None:
    """Draw the weights of all linear layers anew, from the distribution that torch uses.

    Args:
        network: its weights are changed.
        seed: seed of the draws.
    """
    generator = stream(seed, "init")
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.in_features)
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)


def train(
    network: MSALClassifier, optimizer: Optimizer, x: Tensor, y: Tensor, batch_size: int, max_steps: int, seed: int
) -> None:
    """Train a model on rows in memory.

    Args:
        network: it is in evaluation mode afterwards.
        optimizer: changes the weights.
        x: (N, D, 1, 1) float32.
        y: (N,) int64.
        batch_size: largest number of rows per step.
        max_steps: number of steps.
        seed: seed of dropout and of the order of rows.
    """
    dropout, network.dropout = network.dropout, SeededDropout(network.dropout.p, stream(seed, "dropout"))
    network.train()
    for rows in itertools.islice(_batches(len(x), batch_size, seed), max_steps):
        optimizer.zero_grad()
        network.loss(Batch(rows, x[rows], y[rows])).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.dropout = dropout
    network.eval()


def _batches(num_rows: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Yield row numbers of batches without end, an epoch after another."""
    batches = EpochBatches(torch.arange(num_rows), batch_size, seed)
    for epoch in itertools.count():
        batches.set_epoch(epoch)
        yield from batches
