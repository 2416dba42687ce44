"""The optimizer steps of an epoch as replays of a CUDA graph.

PyTorch launches the hundreds of kernels of a step one by one, which takes longer than a GPU needs to run them. A graph
holds all of them and is launched at once.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from msal_lightning.training.captured_step import CapturedStep, Graphs, Inputs, NotCapturedError, captured
from msal_lightning.training.cuda_graphs import CudaGraphs
from msal_lightning.training.eager_steps import EagerSteps
from msal_lightning.training.graph_options import GraphOptions, frozen_by_capture, lacks_state

_CHUNK = 64  # steps whose inputs are copied to the device at once


class DeviceBatches(Protocol):
    """Makes batches in two parts, on the host and on the device."""

    def inputs(self, index: Tensor) -> Inputs:
        """Return the values on the host that make the batch of (B,) int64 indices, of shapes that B decides."""

    def __call__(self, inputs: Inputs) -> Any:
        """Make the batch as the model gets it, from inputs on the device."""


class GraphedSteps(EagerSteps):
    """Runs the steps of an epoch as replays of one CUDA graph for each batch size; it belongs to one fit.

    The very first step of a fit, which makes the optimizer's state, is a plain step. If a capture fails, or its replays
    differ from plain steps, all steps of the fit are plain from then on.

    Args:
        batch_of: see :class:`EagerSteps`.
        device_batches: gives the batches of this fit; None if its images are not on the device.
        refused: is called once with the reason if steps cannot be captured.
        new_graphs: makes an object that captures on a device.
    """

    def __init__(
        self,
        batch_of: Callable[[Tensor], Any],
        device_batches: Callable[[], DeviceBatches | None],
        refused: Callable[[str], None],
        new_graphs: Callable[[torch.device], Graphs] = CudaGraphs,
    ) -> None:
        super().__init__(batch_of)
        self._device_batches = device_batches
        self._refused = refused
        self._new_graphs = new_graphs
        self._plain = False
        self._fit: _FitGraphs | None = None

    def losses(
        self, model: LightningModule, optimizer: torch.optim.Optimizer, batches: list[Tensor]
    ) -> Iterator[Tensor]:
        """Take one step after the other, see :meth:`EagerSteps.losses`."""
        if self._fit is None and not self._plain:
            self._start(model, optimizer)
        if self._fit is None:
            yield from super().losses(model, optimizer, batches)
            return
        self._fit.start_epoch()
        makes_state = model.trainer.global_step == 0 or lacks_state(optimizer)
        for start in range(0, len(batches), _CHUNK):
            inputs = self._fit.copied(batches[start : start + _CHUNK])
            for number in range(len(inputs)):
                yield self._take(self._fit, inputs[number:], plain=self._plain or (makes_state and start + number == 0))

    def close(self) -> None:
        """Return the memory of the graphs after the fit."""
        if self._fit is not None:
            self._fit.release()
            self._fit = None

    def _start(self, model: LightningModule, optimizer: torch.optim.Optimizer) -> None:
        batches = self._device_batches()
        if batches is None:
            self._plain = True
            self._refused("the images are not on the GPU, where they need more than half of the free memory")
            return
        self._fit = _FitGraphs(model, optimizer, batches, self._new_graphs(model.device), self.step)

    def _take(self, fit: "_FitGraphs", inputs: list[Inputs], plain: bool) -> Tensor:
        """Take the first of these steps."""
        if plain:
            return fit.plain(inputs[0])
        try:
            return fit.replayed(inputs)
        except NotCapturedError as error:
            self._plain = True
            fit.release()
            self._refused(str(error))
            return fit.plain(inputs[0])


class _FitGraphs:
    """The graphs of one fit.

    Args:
        model: the model.
        optimizer: its optimizer.
        batches: makes batches.
        graphs: captures.
        step: takes a step on a batch.
    """

    def __init__(
        self,
        model: LightningModule,
        optimizer: torch.optim.Optimizer,
        batches: DeviceBatches,
        graphs: Graphs,
        step: Callable[[LightningModule, torch.optim.Optimizer, Any], Tensor],
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._batches = batches
        self._graphs = graphs
        self._step = step
        self._options = GraphOptions(optimizer, model.device) if model.device.type == "cuda" else None
        self._steps: dict[int, CapturedStep] = {}
        self._frozen = frozen_by_capture(model, optimizer)

    def start_epoch(self) -> None:
        """Use the learning rates of this epoch, and forget graphs that miss any other change."""
        if self._options is not None:
            self._options.refresh()
        if (now := frozen_by_capture(self._model, self._optimizer)) != self._frozen:
            self.release()
            self._frozen = now

    def copied(self, batches: list[Tensor]) -> list[Inputs]:
        """Return the inputs of steps on the device, copied at once for each batch size."""
        found: list[Inputs] = []
        device = self._model.device
        inputs = [self._batches.inputs(index) for index in batches]
        for _, same in itertools.groupby(inputs, key=lambda values: len(values[0])):
            stacked = [torch.stack(values) for values in zip(*same, strict=True)]
            if device.type == "cuda":
                stacked = [values.pin_memory() for values in stacked]
            found += zip(*(values.to(device, non_blocking=True).unbind() for values in stacked), strict=True)
        return found

    def plain(self, inputs: Inputs) -> Tensor:
        """Take a step without a graph."""
        with self._graphs.aside():
            return self._one(inputs)

    def replayed(self, inputs: list[Inputs]) -> Tensor:
        """Take the first of these steps by a replay; a first batch of its size is captured before.

        Raises:
            NotCapturedError: this cannot be done; the step is not taken.
        """
        size = len(inputs[0][0])
        if size not in self._steps:
            same = [values for values in inputs if len(values[0]) == size]
            precision = str(self._model.trainer.precision)
            self._steps[size] = captured(self._one, same, self._model, self._optimizer, precision, self._graphs)
        return self._steps[size](inputs[0])

    def release(self) -> None:
        """Drop all graphs and return their memory."""
        self._steps.clear()
        self._graphs.release()

    def _one(self, inputs: Inputs) -> Tensor:
        with self._options() if self._options is not None else nullcontext():
            return self._step(self._model, self._optimizer, self._batches(inputs))
