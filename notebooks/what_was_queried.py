# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What was queried
#
# A budget curve says how well a strategy did, but not what it selected. The records of a run say which image was
# queried in which round, with its score and its label. This notebook compares two strategies: Entropy selects the
# most uncertain images, and MSAL-D selects the most typical images of each class among the uncertain ones.

# %%
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np
from lightning.pytorch import Trainer

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory, SmallCNN
from msal_lightning.datasets import Digits
from msal_lightning.strategies import MSALD, Entropy

folder = Path(mkdtemp())
data = Digits(batch_size=32)
for strategy in (Entropy(), MSALD()):
    ActiveLoop(
        new_model=lambda: MSALClassifier(10, 1, backbone=lambda c: SmallCNN(c, width=16)),
        new_trainer=lambda **settings: Trainer(max_epochs=20, accelerator="cpu", **settings),
        data=data,
        strategy=strategy,
        run=RunDirectory(folder / strategy.name),
        options=LoopOptions(initial_size=40, query_size=40, query_budget=160, pool_error=True),
    ).run()

# %% [markdown]
# The rest of the notebook only reads files: set `folder` to any folder of runs and `data` to their dataset.

# %%
from msal_lightning.runs.reading import read_runs

runs = {run.folder.name: run.records for run in read_runs([folder])}
color = dict(zip(runs, plt.rcParams["axes.prop_cycle"].by_key()["color"], strict=False))

# %% [markdown]
# ## The images
#
# This figure shows the first ten images of each query, best first, with label and score (higher = queried first).


# %%
def contact_sheet(name: str, columns: int = 10) -> None:
    queries = [record for record in runs[name] if record.queried.index]
    size = (8, 1.15 * len(queries) + 0.3)
    figure, axes = plt.subplots(len(queries), columns, figsize=size, layout="constrained", squeeze=False)
    for record, row in zip(queries, axes, strict=True):
        queried = record.queried
        for i, cell in enumerate(row):
            cell.imshow(data.images[queried.index[i]].permute(1, 2, 0), cmap="gray_r")
            score = f"  {queried.score[i]:.2f}" if queried.score else ""
            cell.set_title(f"{data.class_names[queried.label[i]]}{score}", fontsize=8)
            cell.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"round {record.round}", fontsize=8)
    figure.suptitle(f"{name}: label and score of the queried images", fontsize=10)


contact_sheet("Entropy")

# %%
contact_sheet("MSALD")

# %% [markdown]
# Entropy's scores fall along a row, since it selects in that order. MSAL-D's do not: it selects class by class, the
# closest image to each prototype first.

# %% [markdown]
# ## The classes
#
# The bars count the labels per class over all queries; the lines show the expected counts of as many random images.

# %%
counts = {name: np.sum([record.class_counts for record in records], axis=0) for name, records in runs.items()}
learn = np.array(next(iter(runs.values()))[0].train_class_counts)

figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
x, width = np.arange(len(learn)), 0.8 / len(runs)
for i, (name, count) in enumerate(counts.items()):
    axes.bar(x - 0.4 + (i + 0.5) * width, count, width, label=name, color=color[name])
total = next(iter(counts.values())).sum()
axes.hlines(total * learn / learn.sum(), x - 0.45, x + 0.45, color="black", label="random, on average")
axes.set(xlabel="class", ylabel="queried labels", xticks=x, xticklabels=data.class_names, ylim=(0, None))
axes.spines[["top", "right"]].set_visible(False)
_ = axes.legend(frameon=False, fontsize="small", ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))

# %% [markdown]
# ## The pool
#
# The pool error is the share of the pool that the model gets wrong before each query (the paper's Fig. 3). It falls
# for two reasons: the model learns, and a strategy that selects hard images removes them from the pool. The test
# error falls only for the first reason.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for name, records in runs.items():
    labels, style = [record.num_labeled for record in records], {"color": color[name], "markersize": 3}
    left.plot(labels, [record.pool_error for record in records], "o-", label=name, **style)
    right.plot(labels, [1 - record.accuracy for record in records], "o-", **style)
for axes, title in ((left, "pool"), (right, "test set")):
    axes.set(xlabel="labels", ylabel="error rate", title=title, ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
_ = left.legend(frameon=False)

# %% [markdown]
# ## The overlap
#
# Of all images that at least one strategy has selected so far, which share have both selected (Jaccard index)? The
# dashed line is the expectation for two independent random selections of the same size: only values above it mean
# agreement.

# %%
first, second = runs.values()
queried, overlap, chance = [], [], []
so_far: tuple[set[int], set[int]] = set(), set()
pool = first[0].num_pool
for records in zip(first[:-1], second[:-1], strict=True):
    for indices, record in zip(so_far, records, strict=True):
        indices.update(record.queried.index)
    n = len(so_far[0])
    queried.append(n)
    overlap.append(len(so_far[0] & so_far[1]) / len(so_far[0] | so_far[1]))
    both = n * n / pool  # expected number that two random selections share
    chance.append(both / (2 * n - both))

figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
axes.plot(queried, overlap, "o-", color="black", markersize=3, label=" and ".join(runs))
axes.plot(queried, chance, "--", color="gray", label="two random selections")
axes.set(xlabel="queried labels of each", ylabel="overlap", ylim=(0, 1), xticks=queried)
axes.grid(alpha=0.3)
axes.spines[["top", "right"]].set_visible(False)
_ = axes.legend(frameon=False)

# %% [markdown]
# ## The ledger
#
# The ledger has the same data in one CSV file, for any other tool: one row per label, the initial set as round 0.

# %%
ledger = (folder / "MSALD" / "ledger.csv").read_text().splitlines()
print(*ledger[:3], "...", *ledger[41:44], "...", sep="\n")
