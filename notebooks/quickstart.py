# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart
#
# Active learning in one sentence: train on few labels, let the model select the images to label next, and repeat.
# Here MSAL-D selects handwritten digits that come with scikit-learn, and Random is the baseline.

# %%
from pathlib import Path
from tempfile import mkdtemp

import torch
from lightning.pytorch import Trainer

from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory, SmallCNN
from msal_lightning.datasets import Digits
from msal_lightning.strategies import MSALD, Random, Strategy

runs = Path(mkdtemp())

# %% [markdown]
# ## The parts
#
# A loop needs a model with fixed, maximally separated prototypes as its last layer, and a Trainer, both made anew in
# each round; the images; a strategy; and a folder for the results.


# %%
def make_loop(strategy: Strategy, seed: int = 0) -> ActiveLoop:
    return ActiveLoop(
        new_model=lambda: MSALClassifier(num_classes=10, in_channels=1, backbone=lambda c: SmallCNN(c, width=16)),
        new_trainer=lambda **settings: Trainer(max_epochs=30, accelerator="cpu", **settings),
        data=Digits(batch_size=32),
        strategy=strategy,
        run=RunDirectory(runs / f"{strategy.name}-seed{seed}"),
        options=LoopOptions(initial_size=40, query_size=40, query_budget=120, seed=seed),
    )


loop = make_loop(MSALD())
msald = loop.run()

# %%
random = make_loop(Random()).run()

# %% [markdown]
# ## The curve
#
# Both runs start from the same 40 images and the same first model, so only the selected images differ.

# %%
from msal_lightning.analysis.figures.budget import budget_curves

_ = budget_curves({"MSAL-D": [msald], "Random": [random]})

# %% [markdown]
# ## The queried images
#
# `labeled_at` holds the whole history: −1 in the pool, 0 in the initial set, k for images trained on from round k.

# %%
import matplotlib.pyplot as plt

data = loop.data
chosen = torch.tensor(msald[0].queried.index)
figure, axes = plt.subplots(4, 10, figsize=(8, 3.6), layout="constrained")
for cell, index in zip(axes.flat, chosen, strict=True):
    cell.imshow(data.images[index, 0], cmap="gray_r")
    cell.set_title(f"{data.labels[index]}", fontsize=8)
    cell.axis("off")
_ = figure.suptitle("images of the first query, with their labels")

# %%
{k: int((data.labeled_at == k).sum()) for k in range(-1, 4)}

# %% [markdown]
# ## The trained model
#
# The run directory has the weights of the last finished round.

# %%
model = loop.fitter.new_model()
checkpoint = torch.load(runs / "MSALD-seed0" / "checkpoints" / "round-003.ckpt", weights_only=True)
model.load_state_dict(checkpoint["state_dict"])
model.eval()
images = (data.test.image / 255 - data.mean[0]) / data.std[0]
with torch.inference_mode():
    accuracy = (model(images).argmax(dim=1) == data.test.label).float().mean()
assert abs(float(accuracy) - msald[-1].accuracy) < 1e-6
accuracy
