"""All that optimizer steps change, so that steps can be taken back."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class TrainingState:
    """All that an optimizer step changes: weights, buffers, the optimizer's state, random states.

    Args:
        model: a model on its device.
        optimizer: an optimizer that has taken a step.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._model = model
        weights = list(model.parameters())
        states = [value for state in optimizer.state.values() for value in state.values()]
        tensors = [*weights, *model.buffers(), *(value for value in states if isinstance(value, Tensor))]
        self._weights = len(weights)
        self._values = [(tensor, tensor.detach().clone()) for tensor in tensors]
        self._device = weights[0].device
        self._host_random = HostRandom()
        self._random = self.device_random()

    def restore(self) -> None:
        """Set everything to the values that it had when this object was made."""
        with torch.no_grad():
            for tensor, value in self._values:
                tensor.copy_(value)
        self._model.zero_grad()
        self._host_random.restore()
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(self._random, self._device)

    def update(self) -> list[Tensor]:
        """Return how far each weight has moved since then."""
        return [tensor.detach() - value for tensor, value in self._values[: self._weights]]

    def device_random(self) -> Tensor:
        """Return the random state of the device, as it is now."""
        return torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else torch.get_rng_state()

    def host_has_drawn(self) -> bool:
        """Return whether random numbers were drawn on the host since then."""
        return HostRandom() != self._host_random


class HostRandom:
    """The states of the host's global random generators."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy: dict[str, Any] = np.random.get_state(legacy=False)  # noqa: NPY002
        self._torch = torch.get_rng_state()

    def restore(self) -> None:
        """Set the generators to these states."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002 - the global one, which a model may use
        torch.set_rng_state(self._torch)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HostRandom):
            return NotImplemented
        ours, theirs = self._numpy["state"], other._numpy["state"]
        same_numpy = ours["pos"] == theirs["pos"] and np.array_equal(ours["key"], theirs["key"])
        return self._python == other._python and same_numpy and torch.equal(self._torch, other._torch)

    __hash__ = None  # type: ignore[assignment]
