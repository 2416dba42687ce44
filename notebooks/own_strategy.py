# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own strategy
#
# A strategy answers one question: which images of the pool are worth a label? It sees tensors and returns row
# numbers. It does not know model, data, devices, files or budgets, so you can test it without any of them.

# %%
import math
from pathlib import Path
from tempfile import mkdtemp

import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from torch import Generator, Tensor

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, PoolOutputs, RunDirectory, SmallCNN, Strategy
from msal_lightning.datasets import Digits
from msal_lightning.query.conformance import check_strategy
from msal_lightning.strategies import Margin, Random, Uncertainty

# %% [markdown]
# ## A score
#
# Most ideas are a score: one float32 per row, **higher = query first**. A subclass of `Uncertainty` also promises
# that 0 means certain, so `MSALD`, `DBAL` and `PowerAcquisition` can use it. Here is the margin between the two best
# classes, with a mistake that papers and toolkits have made before.


# %%
class Gap(Uncertainty):
    """Images whose two most probable classes are closest."""

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:
        first, second = pool.probabilities().topk(2, dim=1).values.unbind(dim=1)
        return first - second


def check(strategy: type[Strategy]) -> None:
    results = check_strategy(strategy)
    outcomes = [result.outcome for result in results]
    print(f"{strategy.__name__}: {outcomes.count('passed')} passed, {outcomes.count('failed')} failed")
    for result in results:
        if result.outcome == "failed":
            print(f"  {result.check.replace('_', ' ')}: {result.note}")


check(Gap)

# %% [markdown]
# The conformance suite plants an undecided row among certain ones. A large gap is certainty: this score would have
# selected the easiest images, run to the end, and given a curve that looks like an unlucky idea. The cure is
# `1 - gap`.

# %% [markdown]
# ## Score, shortlist, select
#
# The smallest margins often lie between the same two classes. So let the predicted classes take turns: the smallest
# margin of each class first, then the second smallest of each, and so on. This needs more than a score, and has three
# parts:
#
# - the query calls `score` batch by batch while the pool streams through the model;
# - `shortlist_size` says how many of the best-scored rows stay in memory, instead of the whole pool; several devices
#   send each other only these rows;
# - `select` sees the whole shortlist, in ascending order of index, and returns n different rows of it.


# %%
class TakeTurns(Strategy):
    """Of the factor·n smallest margins, the smallest of each predicted class in turn."""

    needs = frozenset({"logits"})  # the model outputs that it needs: logits, embeddings, mc_logits

    def __init__(self, factor: float = 3.0) -> None:
        self.factor = factor

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:
        first, second = pool.probabilities().topk(2, dim=1).values.unbind(dim=1)
        return 1 - (first - second)

    def shortlist_size(self, n: int) -> int:
        return math.ceil(self.factor * n)

    def select(self, shortlist: PoolOutputs, labeled: PoolOutputs | None, n: int, generator: Generator) -> Tensor:
        order = torch.argsort(shortlist.require("score"), descending=True, stable=True)
        predicted = shortlist.require("logits").argmax(dim=1)[order]
        turn = F.one_hot(predicted).cumsum(dim=0).gather(1, predicted[:, None])[:, 0]  # of its class
        return order[torch.argsort(turn, stable=True)][:n]


check(TakeTurns)

# %% [markdown]
# These checks passed: the strategy selects no image twice and none outside the pool; batches, order and ranks change
# nothing; it reads no labels and draws no global randomness; its memory does not grow while the pool streams. If you
# want noise, `select` has its `generator`, and `score` draws noise per row with `noise_of_rows(seed, pool.index)`.

# %% [markdown]
# ## Against Margin and Random
#
# Runs of one seed share the initial set and the first model; they differ only in the selected images.

# %%
runs = Path(mkdtemp())


def run(strategy: Strategy, seed: int):
    loop = ActiveLoop(
        new_model=lambda: MSALClassifier(10, 1, backbone=lambda c: SmallCNN(c, width=16)),
        new_trainer=lambda **settings: Trainer(max_epochs=30, accelerator="cpu", **settings),
        data=Digits(batch_size=32),
        strategy=strategy,
        run=RunDirectory(runs / f"{strategy.name}-seed{seed}"),
        options=LoopOptions(initial_size=40, query_size=40, query_budget=80, seed=seed),
    )
    return loop.run()


# %%
curves = {s.name: [run(s, seed) for seed in (0, 1)] for s in (TakeTurns(), Margin(), Random())}

# %%
from msal_lightning.analysis.figures.budget import budget_curves

_ = budget_curves(curves)

# %% [markdown]
# Lines are means over seeds, and bands reach from the lowest to the highest seed. All lines start at the same point,
# because round 0 trains the same model on the same 40 images. AUBC, the area under a line divided by its width, is
# the mean accuracy over the budget. Two seeds and digits are enough to see that a strategy works, but not that it
# wins: for that, use more seeds and `python -m msal_lightning report`, which tests differences seed by seed.
#
# Does `TakeTurns` balance the classes? The next cell counts the labels per class in the two queries of seed 0. Turns
# go by the predicted class, and the counts by the true class, so the counts can only be as even as the model is good:

# %%
for name, seeds in curves.items():
    counts = [sum(column) for column in zip(*(record.class_counts for record in seeds[0]), strict=True)]
    print(f"{name:10}", *(f"{count:3}" for count in counts))

# %% [markdown]
# ## From the command line
#
# If the class is in a file `mine.py`, it needs no registration, and `factor` is an option:
#
# ```bash
# python -m msal_lightning check-strategy mine.TakeTurns
# python -m msal_lightning fit --config digits --query mine.TakeTurns --query.factor 5
# ```
