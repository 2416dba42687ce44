"""A query with ten passes of dropout against one with a single pass, 10,000 images."""

import statistics

from benchmarks.images import STEMS, RandomImages, model
from benchmarks.measure import Row, in_turn, ratio
from benchmarks.pool_pass import query
from msal_lightning.strategies import Margin

IMAGES = 10_000


def run() -> list[Row]:
    """Both stems, Margin with and without dropout."""
    rows = []
    for stem, size, channels in STEMS:
        data, network = RandomImages(size, channels, IMAGES), model(stem, channels)
        data.setup()
        times = in_turn(
            {
                "T = 10": lambda d=data, n=network: query(n, d, Margin(mc_samples=10)),
                "once": lambda d=data, n=network: query(n, d, Margin()),
            }
        )
        figures = {f"{name} s": statistics.median(values) for name, values in times.items()}
        rows.append(Row(f"{stem}, {size}×{size}", figures, ratio(times["T = 10"], times["once"]), 1.3, at_least=False))
    return rows
