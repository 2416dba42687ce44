"""An optimizer step that is captured over buffers, and the proof that its replays do what the step does."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from msal_lightning.training.graph_options import frozen_by_capture
from msal_lightning.training.training_state import TrainingState

Inputs = tuple[Tensor, ...]
Step = Callable[[Inputs], Tensor]

LOSS_TOLERANCE = {"bf16-mixed": 1e-2, "32-true": 1e-3}
UPDATE_TOLERANCE = 0.2  # a first step of Adam turns the sign of a gradient that is only rounding into a whole step


class Graphs(Protocol):
    """Captures steps, see :class:`~msal_lightning.training.cuda_graphs.CudaGraphs`."""

    def aside(self) -> AbstractContextManager[None]:
        """Run operations on the stream on which steps are captured."""

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """Capture a step without running it."""

    def pace(self) -> None:
        """Keep the host from running far ahead of the device."""

    def waiting(self, allowed: bool) -> AbstractContextManager[None]:
        """Allow operations that wait for the device, or raise an error."""

    def release(self) -> None:
        """Return the memory of graphs."""


class NotCapturedError(Exception):
    """A step cannot be captured, or its replays do something else; the message says why."""


class Taken(NamedTuple):
    """The effect of some steps.

    Attributes:
        losses: of each step, scalars.
        update: how far each weight moved.
        random: the device's random state after them.
    """

    losses: list[Tensor]
    update: list[Tensor]
    random: Tensor


class CapturedStep:
    """A step for batches of one size, which reads its inputs from buffers of its own.

    Args:
        step: takes a step on inputs and returns its loss.
        example: inputs of that size, on the device.
        graphs: captures the step.
    """

    def __init__(self, step: Step, example: Inputs, graphs: Graphs) -> None:
        self._buffers = tuple(value.clone() for value in example)
        self._loss = torch.zeros((), device=example[0].device)
        self._graphs = graphs
        self._replay = graphs.capture(lambda: self._write(step(self._buffers)))

    def _write(self, loss: Tensor) -> None:
        self._loss.copy_(loss)

    def __call__(self, inputs: Inputs) -> Tensor:
        """Take a step; returns its loss."""
        for buffer, value in zip(self._buffers, inputs, strict=True):
            buffer.copy_(value)
        self._replay()
        self._graphs.pace()
        return self._loss.clone()


def captured(
    step: Step,
    examples: list[Inputs],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: str,
    graphs: Graphs,
) -> CapturedStep:
    """Capture a step and compare two of its replays with two steps; afterwards the training is where it was before.

    Args:
        step: takes a step on inputs and returns its loss.
        examples: inputs of the next steps, on the device, of the same sizes.
        model: the model.
        optimizer: an optimizer that has taken a step.
        precision: the Trainer's.
        graphs: captures the step.

    Raises:
        NotCapturedError: the step cannot be captured, or its replays differ.
    """
    examples = [examples[0], examples[min(1, len(examples) - 1)]]
    with graphs.waiting(allowed=True):
        before = TrainingState(model, optimizer)
        try:
            with graphs.aside():
                taken = _plain_steps(step, examples, model, optimizer, before, graphs)
                before.restore()
            replay = CapturedStep(step, examples[0], graphs)
            again = Taken([replay(inputs) for inputs in examples], before.update(), before.device_random())
            _compare(taken, again, precision)
        except NotCapturedError:
            raise
        except Exception as error:  # if the step itself is wrong, the plain step raises the same error
            raise NotCapturedError(f"a step cannot be captured: {_first_reason(error)}") from error
        finally:
            before.restore()
    return replay


def _plain_steps(
    step: Step,
    examples: list[Inputs],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    before: TrainingState,
    graphs: Graphs,
) -> Taken:
    """Take two steps without a graph; they also choose algorithms and allocate, which a capture must not."""
    fixed = frozen_by_capture(model, optimizer)
    losses = [step(examples[0])]
    with graphs.waiting(allowed=False):
        losses.append(step(examples[1]))
    now = frozen_by_capture(model, optimizer)
    if changed := sorted(name for name in fixed.keys() | now.keys() if fixed.get(name) != now.get(name)):
        raise NotCapturedError(f"each step changes {changed[0]} on the host")
    if losses[0].is_cuda and before.host_has_drawn():
        raise NotCapturedError("the model draws random numbers on the host")
    return Taken(losses, before.update(), before.device_random())


def _compare(taken: Taken, again: Taken, precision: str) -> None:
    """Raise an error if replays differ from plain steps; NaN equals NaN."""
    tolerance = LOSS_TOLERANCE[precision]
    for plain, replay in zip(taken.losses, again.losses, strict=True):
        if not torch.isclose(plain, replay, rtol=tolerance, atol=tolerance, equal_nan=True):
            raise NotCapturedError(f"a replay has the loss {float(replay):.4g} instead of {float(plain):.4g}")
    if not torch.equal(taken.random, again.random):
        raise NotCapturedError("replays draw other random numbers")
    away = _norm([a - b for a, b in zip(again.update, taken.update, strict=True)])
    share = float(away / _norm(taken.update))  # NaN where no weight moves, as at the learning rate 0
    if share > UPDATE_TOLERANCE:
        raise NotCapturedError(f"replays move the weights elsewhere, by {share:.1%} of two steps")


def _norm(tensors: list[Tensor]) -> Tensor:
    return torch.stack([tensor.float().square().sum() for tensor in tensors]).sum().sqrt()


def _first_reason(error: BaseException) -> str:
    while error.__context__ is not None:  # the end of a capture that failed raises an error of its own
        error = error.__context__
    return str(error).strip().partition("\n")[0] or type(error).__name__
