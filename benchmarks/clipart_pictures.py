"""Clip art of 11 classes as small squares on white, the pictures of the configuration ``clipart``.

    apt-get install openclipart-png
    python -m benchmarks.clipart_pictures --root /usr/share/openclipart/png --out clipart

The pictures are in the public domain. It takes some minutes, because a few of them have 100 million pixels.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image

from msal_lightning.data.images.decoding import WHITE, Decoding
from msal_lightning.data.images.image_files import ImageFiles

CLASSES = (
    "animals", "computer", "food", "geography", "office", "people", "recreation", "shapes", "signs_and_symbols",
    "tools", "transportation",
)  # fmt: skip
MOST = 300  # pictures of a class, so that the classes are not too unequal
SIDE = 128  # pixels


def draw_pictures(root: Path, out: Path) -> None:
    """Write at most MOST pictures of each class, drawn by seed 0; a class that is there is left as it is."""
    how = Decoding(SIDE, 3, "letterbox", padding=WHITE)
    for name in CLASSES:
        if (out / name).exists():
            continue
        found = sorted((root / name).rglob("*.png"))
        if not found:
            raise SystemExit(f"expected the folder of openclipart with {name}, got '{root}': correct --root")
        readable = ImageFiles(found, SIDE, 3, how).readable().nonzero()[:, 0]
        order = torch.randperm(len(readable), generator=torch.Generator().manual_seed(0))[:MOST]
        unfinished = out / f".{name}"
        unfinished.mkdir(parents=True, exist_ok=True)
        for row in readable[order.sort().values].tolist():
            pixels = how.decode(str(found[row])).transpose(1, 2, 0)
            Image.fromarray(pixels).save(unfinished / f"{row:04d}.png")
        unfinished.rename(out / name)


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder png of openclipart")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures, a sub-folder for each class")
    options = parser.parse_args()
    draw_pictures(options.root, options.out)


if __name__ == "__main__":
    main()
