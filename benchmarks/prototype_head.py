"""The prototype head: the O(C) form against one matrix product, batch 256; no matrix is built for many classes."""

import statistics

import torch
import torch.nn.functional as F

from benchmarks.measure import Row, in_turn, peak_megabytes, ratio
from msal_lightning.models.prototypes import DENSE_UP_TO, PrototypeHead, simplex_prototypes

BATCH, LARGEST_MATRIX = 256, 10_000


@torch.inference_mode()
def compare(num_classes: int, matrix_classes: int) -> tuple[dict[str, float], float]:
    """Milliseconds of both, and how many times as long the matrix takes, scaled by C² where it is a smaller one."""
    x = torch.randn(BATCH, num_classes - 1)
    head = PrototypeHead(max(num_classes, DENSE_UP_TO + 1))  # the O(C) form, for few classes too
    padded = F.pad(x, (0, head.num_classes - num_classes))
    matrix, few = simplex_prototypes(matrix_classes).float(), x[:, : matrix_classes - 1].contiguous()
    times = in_turn({"O(C)": lambda: head(padded), "matrix": lambda: few @ matrix}, runs=7)
    scale = (num_classes / matrix_classes) ** 2
    figures = {
        "O(C) ms": 1e3 * statistics.median(times["O(C)"]),
        "matrix ms": 1e3 * scale * statistics.median(times["matrix"]),
    }
    return figures, scale * ratio(times["matrix"], times["O(C)"])


@torch.inference_mode()
def memory(num_classes: int) -> float:
    """MB that a head and one batch through it take."""
    x = torch.randn(BATCH, num_classes - 1)
    before = peak_megabytes()
    PrototypeHead(num_classes)(x)
    return peak_megabytes() - before


def run() -> list[Row]:
    """Around the number of classes where the head changes its form, and for 100,000."""
    output = BATCH * 100_000 * 4 / 1e6
    rows = [
        Row("C = 100,000: MB of head and batch", {"output MB": output}, memory(100_000), 4 * output, at_least=False)
    ]
    for num_classes in (128, 256, 512, 1_000, 10_000):
        figures, value = compare(num_classes, num_classes)
        rows.append(Row(f"C = {num_classes:,}", figures, value))
    figures, value = compare(100_000, LARGEST_MATRIX)
    return [*rows, Row(f"C = 100,000, the matrix at C = {LARGEST_MATRIX:,} scaled by C²", figures, value, 100.0)]
