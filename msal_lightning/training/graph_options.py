"""The options of an optimizer in the form that a CUDA graph needs."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def why_not_captured(optimizer: torch.optim.Optimizer) -> str | None:
    """Return why a CUDA graph cannot contain an optimizer's step; None if it can."""
    name = type(optimizer).__name__
    if not type(optimizer).__module__.startswith("torch.optim"):
        return f"{name} is no optimizer of torch.optim"
    if not isinstance(optimizer, torch.optim.SGD) and "capturable" not in optimizer.defaults:
        return f"{name} has no option capturable"
    return None


class GraphOptions:
    """Gives an optimizer the options with which its step can be captured, within ``with`` only.

    Outside, schedules, checkpoints and logs see the user's options. A learning rate becomes a float32 tensor on the
    device, because a graph repeats each number that the host knows.

    Args:
        optimizer: its step can be captured, see :func:`why_not_captured`.
        device: the device of its parameters.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self._optimizer = optimizer
        self._device = device
        self._rates: list[Tensor] = []

    def refresh(self) -> None:
        """Copy the learning rates, and the step numbers of a resumed fit, to the device."""
        groups = self._optimizer.param_groups
        if len(self._rates) != len(groups):  # a callback has added some
            self._rates = [torch.zeros((), device=self._device) for _ in groups]
        for rate, group in zip(self._rates, groups, strict=True):
            rate.fill_(float(group["lr"]))
            for state in (self._optimizer.state.get(p, {}) for p in group["params"]):
                if "capturable" in group and isinstance(step := state.get("step"), Tensor):
                    state["step"] = step.to(self._device)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Put the options in force."""
        groups = self._optimizer.param_groups
        before = [dict(group) for group in groups]
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate
            if isinstance(self._optimizer, torch.optim.SGD):
                group |= {"fused": True, "foreach": False}  # the others would read the learning rate on the host
            else:
                group["capturable"] = True
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "This instance was constructed with capturable")  # plain steps too
                yield
        finally:
            for group, options in zip(groups, before, strict=True):
                group.update(options)


def lacks_state(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether the next step adds parameters to an optimizer's state, as after a callback has unfrozen some."""
    trained = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    return bool(optimizer.state) and any(not optimizer.state.get(p) for p in trained)


def frozen_by_capture(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return all that a captured step would not notice if it changed, by name: a graph is valid while this is equal.

    Args:
        model: its tensors count by their addresses, and its modules by their plain attributes (``p`` of a dropout,
            ``training``).
        optimizer: of the model; its learning rates do not count, see :class:`GraphOptions`.
    """
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        plain = {key: value for key, value in vars(module).items() if isinstance(value, bool | int | float | str)}
        found |= {f"{name}.{key}".lstrip("."): value for key, value in plain.items()}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        found[f"address of {name}"] = tensor.data_ptr(), tensor.requires_grad
    for number, group in enumerate(optimizer.param_groups):
        options = {key: value for key, value in group.items() if key not in ("params", "lr", "initial_lr")}
        found |= {f"option {key} of group {number}": value for key, value in options.items()}
        found[f"parameters of group {number}"] = [id(p) for p in group["params"]]
    return found
