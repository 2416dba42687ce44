"""The number of CPU threads: no more than a step's work is worth, and the same when a run resumes."""

import torch

FLOP_PER_THREAD = 2e9
"""With less work than this for each thread, more threads save little time and cost much CPU time, because they wait for
each other after every layer (docs/performance.md)."""


def choose_threads(step_flop: float, recorded: str | None = None) -> tuple[int, str]:
    """Choose the number of threads for a CPU.

    Args:
        step_flop: floating-point operations of an optimizer step.
        recorded: the number in the last record of the run; None for a new run.

    Returns:
        The number, at most the one that torch has now (OMP_NUM_THREADS, or the cores), and the reason; the reason is
        empty if the number does not change.
    """
    available = torch.get_num_threads()
    if recorded is not None and recorded.isdecimal():
        threads, why = int(recorded), "this run began with it"
    else:
        threads, why = (
            int(step_flop / FLOP_PER_THREAD),
            f"a step of {step_flop / 1e9:.1f} GFLOP gains nothing from more",
        )
    threads = max(1, min(threads, available))
    return threads, why if threads != available else ""
