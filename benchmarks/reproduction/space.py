"""Where the classes lie in each round, in a space whose axes are the same in all rounds (after the paper's Fig. 2).

    python -m benchmarks.reproduction.space runs/MSAL runs/Entropy --mnist FOLDER

reads runs that kept all their models. t-SNE, as in the paper, turns and stretches each picture anew, so that it cannot
show that classes stay where they are. Here an image is the direction of its centered logits: with a prototype head that
is its direction in the prototype space (Eq. 1), and a linear head has the same C - 1 dimensions. Prototypes are the
corners of a regular simplex there; the pictures project it onto a plane in which they are the corners of a decagon.
"""

import argparse
import csv
import io
import math
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor

from msal_lightning import MSALClassifier
from msal_lightning.analysis.figures.style import class_colours
from msal_lightning.datasets import MNIST
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.yaml_files import read_yaml
from msal_lightning.paper.methods import method_name
from msal_lightning.runs.config import flatten
from msal_lightning.runs.records import read_records

DOCS = Path(__file__).parents[2] / "docs"
_IMAGES, _DRAWN, _BATCH = 10_000, 1_500, 500


def directions(checkpoint: Path, data: MNIST) -> Tensor:
    """Return the directions of the test images, (N, C) rows of length 1 and sum 0."""
    model = MSALClassifier.load_from_checkpoint(checkpoint, map_location="cpu").eval()
    parts = []
    with torch.inference_mode():
        for image in data.test.image[:_IMAGES].split(_BATCH):
            logits = model((image.float() / 255 - data.mean[0]) / data.std[0])
            parts.append(F.normalize(logits - logits.mean(1, keepdim=True)))
    return torch.cat(parts)


def centers(directions: Tensor, label: Tensor) -> Tensor:
    """Return the mean direction of each class, (C, C)."""
    return F.normalize(torch.stack([directions[label == c].mean(0) for c in range(10)]))


def angles(a: Tensor, b: Tensor) -> Tensor:
    """Return the angles between rows in degrees."""
    return ((a * b).sum(-1).clamp(-1, 1).arccos() * 180 / math.pi).float()


def measure(run: Path, data: MNIST) -> tuple[str, list[Tensor], list[list[str]]]:
    """Return the name of the method, the directions in each round, and the lines of the table."""
    name = method_name(flatten(read_yaml(run / "config.yaml")))
    label = data.test.label[:_IMAGES]
    corners = F.normalize(torch.eye(10) - 0.1)
    found, lines, before = [], [], None
    for record in read_records(run):
        rows = directions(run / "checkpoints" / f"round-{record.round:03d}.ckpt", data)
        now = centers(rows, label)
        moved = "" if before is None else f"{angles(now, before).mean():.1f}"
        spread, off = angles(rows, now[label]).mean(), angles(now, corners).mean()
        lines.append([name, str(record.num_labeled), f"{record.accuracy:.4f}", moved, f"{off:.1f}", f"{spread:.1f}"])
        found.append(rows)
        before = now
    return name, found, lines


def draw(found: dict[str, list[Tensor]], labels: list[int], label: Tensor, file: Path) -> None:
    """Draw the first images of the test set, a row for each method and a column for each round."""
    turn = torch.arange(10) * 2 * math.pi / 10
    plane = torch.stack([turn.cos(), turn.sin()], 1)
    colours = class_colours(10)
    figure, grid = plt.subplots(
        len(found), len(labels), figsize=(2.3 * len(labels), 2.4 * len(found)), squeeze=False, layout="constrained"
    )
    for row, (name, rounds) in zip(grid, found.items(), strict=True):
        for axes, directions, count in zip(row, rounds, labels, strict=True):
            places = directions[:_DRAWN] @ plane
            axes.scatter(*places.T, c=[colours[c] for c in label[:_DRAWN]], s=3, linewidths=0)
            axes.plot(*(plane / 0.9**0.5).T, "+", color="#444444", markersize=5)  # the prototypes
            for c, corner in enumerate(plane):
                axes.annotate(str(c), corner * 1.38, ha="center", va="center", color=colours[c], fontsize="small")
            axes.set(xticks=[], yticks=[], xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal")
            axes.spines[:].set_visible(False)
            axes.set_title(f"{name}, {count:,} labels", fontsize="small")
    figure.suptitle("MNIST: directions of test images", fontsize="medium")
    figure.savefig(file, dpi=150)
    plt.close(figure)


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run directories, made with --loop.keep_checkpoints all")
    parser.add_argument("--mnist", type=Path, required=True, help="folder of MNIST")
    options = parser.parse_args()
    mpl.use("agg")
    data = MNIST(root=options.mnist)
    data.setup()
    found, table, labels = {}, [], []
    for run in options.runs:
        name, found[name], lines = measure(run, data)
        table += lines
        labels = [int(line[1]) for line in lines]
    draw(found, labels, data.test.label, DOCS / "reproduction-space.png")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "labels", "accuracy", "centers moved", "centers from prototypes", "images from center"])
    writer.writerows(table)
    write_atomically(DOCS / "reproduction-space.csv", text.getvalue())
    print(text.getvalue())


if __name__ == "__main__":
    main()
