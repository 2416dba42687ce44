"""MaxHerding: 100 of 60,000 rows of 384, and 3,000 rows against scikit-activeml's matrix of all kernels."""

import statistics

import numpy as np
import torch
from skactiveml.pool import MaxHerding as Theirs

from benchmarks.measure import PeakMemory, Row, in_turn, ratio, seconds
from msal_lightning import select_indices
from msal_lightning.strategies import MaxHerding, UHerding
from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs

ROWS, SUBSET, WIDTH, CHOSEN = 60_000, 3_000, 384, 100
CLASSES, LATENT = 100, 12


def outputs(rows: int) -> PoolOutputs:
    """Features like those of a network: groups in few dimensions, through a random layer with a ReLU."""
    generator = torch.Generator().manual_seed(0)
    group = torch.randint(CLASSES, (rows,), generator=generator)
    latent = 1.5 * torch.randn(CLASSES, LATENT, generator=generator)[group] + torch.randn(
        rows, LATENT, generator=generator
    )
    embeddings = (latent @ torch.randn(LATENT, WIDTH, generator=generator)).relu_()
    return PoolOutputs(torch.arange(rows), embeddings=embeddings, logits=torch.randn(rows, 10, generator=generator))


def queried(strategy: Strategy, pool: PoolOutputs, chosen: int = CHOSEN) -> list[int]:
    """The picks, without a labeled set: the dearest case, as the first picks change the gains of all rows."""
    return select_indices(strategy, [pool], None, chosen, torch.Generator().manual_seed(0)).tolist()


def theirs(pool: PoolOutputs, chosen: int = CHOSEN) -> list[int]:
    """Picks of scikit-activeml with the same kernel and bandwidth."""
    strategy = Theirs(metric="rbf", metric_dict={"gamma": 1.0}, random_state=0)
    x = pool.require("embeddings").numpy().astype(np.float64)
    picks: list[int] = strategy.query(x, np.full(len(x), np.nan), batch_size=chosen).tolist()
    return picks


def run() -> list[Row]:
    """Memory beyond the features."""
    whole, subset = outputs(ROWS), outputs(SUBSET)
    rows = []
    for strategy in (MaxHerding(), UHerding()):
        with PeakMemory() as memory:
            taken = seconds(lambda strategy=strategy: queried(strategy, whole))
        grown = memory.peak - memory.before
        rows += [
            Row(f"{strategy.name}: seconds, {CHOSEN} of {ROWS:,}", {}, taken, 180.0, at_least=False),
            Row(f"{strategy.name}: GB beyond the features", {"features GB": ROWS * WIDTH * 4 / 1e9}, grown, 1.0, False),
        ]
    times = in_turn({"ours": lambda: queried(MaxHerding(), subset), "theirs": lambda: theirs(subset)})
    figures = {
        "ours s": statistics.median(times["ours"]),
        "scikit-activeml s": statistics.median(times["theirs"]),
    }
    same = float(np.mean(np.array(queried(MaxHerding(), subset)) == theirs(subset)))
    return [
        *rows,
        Row(f"times as fast as scikit-activeml on {SUBSET:,} rows", figures, ratio(times["theirs"], times["ours"])),
        Row(f"same picks on {SUBSET:,} rows, share", {}, same, 1.0),
    ]
