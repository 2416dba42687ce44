"""The prototype head: one matrix product against the O(C) form, side by side; no matrix is built for many classes.

    python benchmarks/prototype_head.py

Prints medians of seven runs each, A B A B, batch 256. Where both fit, the last column is dense / O(C); beyond 10,000
classes the dense time is the one at 10,000 scaled by C².
"""

import statistics
import time
from collections.abc import Callable

import torch

from msal_lightning.prototypes import DENSE_UP_TO, PrototypeHead, simplex_prototypes

BATCH = 256
RUNS = 7
LARGEST_MATRIX = 10_000


def milliseconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    """Print one line per number of classes."""
    print(f"{torch.get_num_threads()} threads, batch {BATCH}; the head switches after C = {DENSE_UP_TO}")
    print(f"{'C':>8} {'dense ms':>10} {'O(C) ms':>10} {'ratio':>8}")
    dense_at_largest = 0.0
    for num_classes in (10, 64, 128, 256, 257, 512, 1_000, 3_000, 10_000, 30_000, 100_000):
        x = torch.randn(BATCH, num_classes - 1)
        head = PrototypeHead(max(num_classes, DENSE_UP_TO + 1))  # the O(C) form, for few classes too
        narrow = torch.nn.functional.pad(x, (0, head.num_classes - num_classes))
        matrix = simplex_prototypes(num_classes).float() if num_classes <= LARGEST_MATRIX else None
        dense, linear = [], []
        with torch.inference_mode():
            for _ in range(RUNS + 1):  # the first is thrown away
                if matrix is not None:
                    dense.append(milliseconds(lambda x=x, matrix=matrix: x @ matrix))
                linear.append(milliseconds(lambda head=head, narrow=narrow: head(narrow)))
        fast = statistics.median(linear[1:])
        if matrix is not None:
            dense_at_largest = slow = statistics.median(dense[1:])
        else:
            slow = dense_at_largest * (num_classes / LARGEST_MATRIX) ** 2
        print(
            f"{num_classes:>8} {slow:>10.2f} {fast:>10.2f} {slow / fast:>8.1f}"
            + ("" if matrix is not None else " scaled")
        )


if __name__ == "__main__":
    main()
