# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Comparing strategies
#
# This notebook compares three strategies on two seeds, in one table and one picture. The images are scikit-learn's
# digits. Set `root` to a folder with Fashion-MNIST's four IDX files (Debian: `apt-get install dataset-fashion-mnist`)
# to run the same cells on Fashion-MNIST.

# %%
import os
from pathlib import Path
from tempfile import mkdtemp

from IPython.display import Markdown
from lightning.pytorch import Trainer

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory, SmallCNN, Strategy
from msal_lightning.datasets import Digits, FashionMNIST
from msal_lightning.strategies import MSALD, Margin, Random

root = os.environ.get("FASHION_MNIST")  # or "/usr/share/datasets/fashion-mnist"
runs = Path(mkdtemp())

if root:
    epochs, pool_limit = 5, 10_000
    sizes = {"initial_size": 500, "query_size": 250, "query_budget": 500}
else:
    epochs, pool_limit = 25, None
    sizes = {"initial_size": 40, "query_size": 40, "query_budget": 80}

# %% [markdown]
# ## The runs
#
# All runs use the prototype head, so they differ only in the selected images: for one seed, every strategy starts
# from the same initial set and the same first model. On Fashion-MNIST, `pool_limit` lets each query score 10,000
# random images instead of all 60,000.


# %%
def run(strategy: Strategy, seed: int) -> None:
    loop = ActiveLoop(
        new_model=lambda: MSALClassifier(10, 1, backbone=lambda c: SmallCNN(c, width=16)),
        new_trainer=lambda **settings: Trainer(max_epochs=epochs, accelerator="cpu", **settings),
        data=FashionMNIST(root) if root else Digits(batch_size=32),
        strategy=strategy,
        run=RunDirectory(runs / f"{strategy.name}-seed{seed}"),
        options=LoopOptions(seed=seed, pool_limit=pool_limit, **sizes),
    )
    loop.run()


for strategy in (Random(), Margin(), MSALD()):
    for seed in (0, 1):
        run(strategy, seed)

# %% [markdown]
# ## The table
#
# `python -m msal_lightning report` prints this table. It reads all run directories and refuses runs that differ in
# more than strategy, head and seed, or whose initial sets differ. Methods have the names of the paper's Table 3:
# Margin(MSAL) is Margin on the prototype head.

# %%
from msal_lightning.analysis.report.formats.markdown import table
from msal_lightning.analysis.report.result import build
from msal_lightning.analysis.report.tables import footnotes, results_table, tests_table, verdict

report = build([runs])
Markdown(table(results_table(report)))

# %%
Markdown("\n".join(f"- {note}" for note in footnotes(report)))

# %% [markdown]
# ## Is it chance?
#
# The report makes paired tests on AUBC, seed by seed, corrected for the number of pairs. With two seeds only an
# enormous difference is significant; use at least five seeds for a claim.

# %%
Markdown(table(tests_table(report)))

# %%
Markdown(verdict(report))

# %% [markdown]
# ## The curves

# %%
from msal_lightning.analysis.figures.budget import budget_curves, collect

_ = budget_curves(collect([runs]))

# %% [markdown]
# ## At full size
#
# These commands do the same, and each run is resumable:
#
# ```bash
# for query in Random Margin MSALD; do
#   for seed in 0 1 2; do
#     python -m msal_lightning fit --config fashion_mnist --query $query --seed $seed \
#       --data.root /usr/share/datasets/fashion-mnist
#   done
# done
# python -m msal_lightning report runs
# ```
