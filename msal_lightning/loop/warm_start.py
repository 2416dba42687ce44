"""Fits that start from the model of the round before, instead of fresh weights."""

import torch
from torch import Generator, Tensor, nn

from msal_lightning.errors import RunError
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.options import LoopOptions
from msal_lightning.seeding import retry_key, stream
from msal_lightning.training.checkpoint import load_checked


class WarmStart:
    """Gives a round's model the weights of the round before: θ ← shrink · θ + perturb · noise, noise ~ N(0, 1).

    [0] Ash and Adams, 2020, On Warm-Starting Neural Network Training, arXiv 1910.08475 (shrink and perturb)

    Args:
        options: options of the loop.
        run: keeps the models.
    """

    def __init__(self, options: LoopOptions, run: RunDirectory) -> None:
        self._options = options
        self._run = run

    def __call__(self, model: nn.Module, round: int, attempt: int) -> None:
        """Change the weights of a model in place; round 0 keeps fresh ones.

        Parameters that are not trained, and buffers, are taken as they are. Layers whose size has changed, because
        there are new classes, stay fresh.

        Args:
            model: a model with fresh weights.
            round: k.
            attempt: attempt at this round, from 0.

        Raises:
            RunError: the model of the round before is missing or damaged.
        """
        if not self._options.warm_start or round == 0:
            return
        before = self._read(round - 1)
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        generator = stream(self._options.seed, "perturb", round, *retry_key(attempt))
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if name in before and before[name].shape == value.shape:
                    theirs = before[name]
                    value.copy_(self._changed(theirs, generator) if name in trained else theirs)

    def _changed(self, weights: Tensor, generator: Generator) -> Tensor:
        shrunk = self._options.shrink * weights
        if not self._options.perturb:
            return shrunk
        return shrunk + self._options.perturb * torch.randn(weights.shape, generator=generator)

    def _read(self, round: int) -> dict[str, Tensor]:
        file = self._run.model_file(round)
        try:
            weights: dict[str, Tensor] = load_checked(file)["state_dict"]
        except Exception as error:  # a damaged or foreign file may raise anything
            why = "found none" if isinstance(error, FileNotFoundError) else f"cannot read it ({type(error).__name__})"
            raise RunError(
                f"expected the model of round {round} in '{file}', because loop.warm_start starts the next round from "
                f"it, {why}: restore the file, or start the run again with --overwrite"
            ) from None
        return weights
