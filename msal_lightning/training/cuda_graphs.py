"""Capture and replay on one CUDA device."""

import functools
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch

_AHEAD = 8  # replays that may wait on the device: enough to keep it busy, few enough that a signal ends a fit at once


class CudaGraphs:
    """Captures the graphs of one fit. They share one pool of memory, because only one of them runs at a time.

    Args:
        device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._replays: deque[torch.cuda.Event] = deque()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Run operations on the stream on which graphs are captured.

        Gradients and workspaces of libraries belong to the stream on which they were used first.
        """
        here, side = torch.cuda.current_stream(self._device), _side_stream(self._device)
        side.wait_stream(here)
        try:
            with torch.cuda.stream(side):
                yield
        finally:
            here.wait_stream(side)

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """Capture a step without running it.

        Args:
            step: launches kernels that read and write the same memory in each call.

        Returns:
            Launches the same kernels.

        Raises:
            RuntimeError: the step does something that a graph cannot repeat.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            # after an error torch.cuda.graph would leave its stream the current one
            with (
                torch.cuda.stream(torch.cuda.current_stream(self._device)),
                torch.cuda.graph(graph, pool=self._pool, stream=_side_stream(self._device)),
            ):
                step()
        except BaseException:
            # the generator may count as captured for ever; a copy of its state does not
            generator = torch.cuda.default_generators[self._device.index]
            generator.graphsafe_set_state(generator.clone_state())
            raise
        return graph.replay

    def pace(self) -> None:
        """Wait until all replays but the last few have ended; call it after each replay."""
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call] # the host sleeps: others may need its core
        event.record()
        self._replays.append(event)
        if len(self._replays) > _AHEAD:
            self._replays.popleft().synchronize()

    @contextmanager
    def waiting(self, allowed: bool) -> Iterator[None]:
        """Allow operations that wait for the device, or make torch raise an error where it knows one."""
        mode: Literal["default", "error"] = "default" if allowed else "error"
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls this a prototype
            torch.cuda.set_sync_debug_mode(mode)
            try:
                yield
            finally:
                torch.cuda.set_sync_debug_mode(before)

    def release(self) -> None:
        """Return the memory of graphs that nothing refers to any more."""
        torch.cuda.empty_cache()


@functools.cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    # one for the process: cuBLAS keeps a workspace for each stream that it has seen
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
