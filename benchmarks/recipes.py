"""Training recipes on fixed labeled sets: accuracy, and how much it varies between seeds of the model.

    python -m benchmarks.recipes run --mnist FOLDER --fashion FOLDER     adds fits to docs/recipes.csv; hours, resumable
    python -m benchmarks.recipes                                         rewrites the tables of docs/recipes.md

A labeled set is drawn once; a seed changes the weights, the order of batches and the dropout. What is measured after
the same fit (last epochs averaged, BatchNorm statistics computed again) costs no fit of its own.
"""

import argparse
import csv
import itertools
import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import t as student_t
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import update_bn

from benchmarks.marks import fill
from msal_lightning import ActiveDataModule, MSALClassifier
from msal_lightning.analysis.report.formats.markdown import table as markdown
from msal_lightning.analysis.report.tables import Table, signed
from msal_lightning.datasets import MNIST, FashionMNIST
from msal_lightning.io.atomic import write_atomically
from msal_lightning.models.backbones import ResNet18
from msal_lightning.training.lightning_noise import quiet_lightning
from msal_lightning.training.precision import choose_precision

DOCS = Path(__file__).parents[1] / "docs"
TABLE, PAGE = DOCS / "recipes.csv", DOCS / "recipes.md"
EPOCHS, BATCH, SEEDS, LAST = 20, 128, 12, 5  # epochs and batch of the paper; the last epochs are averaged
LABELS = 1_000
TEST = 5_000  # images of the test set, its first ones
SCHEDULES: dict[str, Any] = {"constant": None, "cosine": partial(CosineAnnealingLR, T_max=EPOCHS)}
DATA = {"MNIST": MNIST, "Fashion-MNIST": FashionMNIST}
COLUMNS = ("data", "labels", "head", "schedule", "seed", "plain", "recalibrated", "averaged", "device")
ARMS = {
    "paper (constant rate)": ("constant", "plain"),
    "BatchNorm recalibrated": ("constant", "recalibrated"),
    "mean of the last 5 epochs": ("constant", "averaged"),
    "cosine schedule": ("cosine", "plain"),
    "cosine, recalibrated": ("cosine", "recalibrated"),
    "cosine, mean of the last 5 epochs": ("cosine", "averaged"),
}


class LastWeights(Callback):
    """Sums the weights at the end of each of the last epochs."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the weights of this epoch."""
        if trainer.current_epoch >= EPOCHS - LAST:
            for name, value in pl_module.named_parameters():
                total = self.sums.setdefault(name, torch.zeros_like(value, requires_grad=False))
                total += value.detach()


def accuracies(data: ActiveDataModule, head: Any, schedule: str, seed: int) -> tuple[float, float, float]:
    """Train once; return the accuracy as it is, with BatchNorm recalibrated, and with averaged weights besides."""
    seed_everything(seed, verbose=False)
    model = MSALClassifier(
        10, 1, partial(ResNet18, stem="conv7"), head, 0.1,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3, fused=True),
        lr_scheduler=SCHEDULES[schedule],
    )  # fmt: skip
    last, precision = LastWeights(), choose_precision("auto")[0]
    with quiet_lightning():
        trainer = Trainer(
            max_epochs=EPOCHS, precision=precision, callbacks=[last], logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, devices=1,
        )  # fmt: skip
        trainer.fit(model, datamodule=data)
    results = [accuracy(model, data)]
    recalibrate(model, data)
    results.append(accuracy(model, data))
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(last.sums[name] / LAST)
    recalibrate(model, data)
    results.append(accuracy(model, data))
    return results[0], results[1], results[2]


def batches(data: ActiveDataModule, images: Tensor) -> Iterator[Tensor]:
    """Yield normalized batches of nearly equal size."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.mean, data.std))
    for part in images.chunk(-(-len(images) // BATCH)):
        yield (part.float() / 255 - mean) / std


def recalibrate(model: MSALClassifier, data: ActiveDataModule) -> None:
    """Compute the BatchNorm statistics again, as means over the labeled set."""
    images = data.images[data.labeled]
    update_bn(batches(data, images), model.backbone)
    model.eval()


@torch.inference_mode()
def accuracy(model: MSALClassifier, data: ActiveDataModule) -> float:
    """Return the accuracy on the test set."""
    model.eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=choose_precision("auto")[0] == "bf16-mixed"):
        predicted = torch.cat([model(batch).argmax(1) for batch in batches(data, data.test.image[:TEST])])
    return float((predicted == data.test.label[:TEST]).float().mean())


def run(options: argparse.Namespace) -> None:
    """Add the fits that are missing."""
    done = {tuple(row[name] for name in COLUMNS[:5]) for row in rows()}
    roots = {"MNIST": options.mnist, "Fashion-MNIST": options.fashion}
    cells = itertools.product(("prototype", "linear"), DATA, range(SEEDS), SCHEDULES)
    for head, name, seed, schedule in cells:
        key = (name, str(LABELS), head, schedule, str(seed))
        if key in done or roots[name] is None or seed % options.parts != options.part:
            continue
        data = DATA[name](root=roots[name], batch_size=BATCH)
        data.setup()
        data.reset(0)
        data.draw_initial(LABELS)
        found = accuracies(data, head, schedule, seed)
        with TABLE.open("a", encoding="utf-8") as file:
            file.write(",".join([*key, *(f"{value:.4f}" for value in found), "cpu"]) + "\n")
        print(*key, *found, flush=True)


def rows(file: Path = TABLE) -> list[dict[str, str]]:
    """Read the table of fits."""
    if not file.exists():
        file.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def values(table: Sequence[dict[str, str]], name: str, head: str) -> dict[str, NDArray[np.float64]]:
    """Return the accuracies of each arm by seed, on the seeds that both schedules have."""
    found: dict[str, dict[int, dict[str, str]]] = {schedule: {} for schedule in SCHEDULES}
    for row in table:
        if (row["data"], row["head"]) == (name, head):
            found[row["schedule"]][int(row["seed"])] = row
    seeds = sorted(set.intersection(*({*one} for one in found.values())))
    return {
        arm: np.array([float(found[schedule][seed][column]) for seed in seeds])
        for arm, (schedule, column) in ARMS.items()
    }


def arms_table(table: Sequence[dict[str, str]], name: str, head: str) -> str:
    """Return mean and standard deviation of each arm, and its distance from the paper's recipe."""
    found = values(table, name, head)
    paper = found[next(iter(ARMS))]
    n = len(paper)
    if n < 3:
        return "Fewer than three seeds yet."
    wide = math.sqrt(float(f_distribution.ppf(0.975, n - 1, n - 1)))
    rows = []
    for arm, own in found.items():
        apart, share = own - paper, float(own.std(ddof=1) / paper.std(ddof=1))
        half = float(student_t.ppf(0.975, n - 1) * apart.std(ddof=1) / math.sqrt(n))
        against = ["", ""]
        if own is not paper:
            ends = f"[{share / wide:.2f}, {share * wide:.2f}]"
            against = [f"{signed(float(apart.mean()))} ± {half:.4f}", f"{share:.2f} {ends}"]
        rows.append([arm, str(n), f"{own.mean():.4f}", f"{own.std(ddof=1):.4f}", f"{own.min():.4f}", *against])
    columns = ["recipe", "seeds", "accuracy", "std", "worst", "minus the paper's [95%]", "std, of the paper's [95%]"]
    return markdown(Table("", columns, rows))


def main() -> None:
    """Run fits, or rewrite the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?", choices=("run", "page"), default="page")
    parser.add_argument("--mnist", type=Path, help="folder of MNIST")
    parser.add_argument("--fashion", type=Path, help="folder of Fashion-MNIST")
    parser.add_argument("--parts", type=int, default=1, help="number of processes that divide the seeds")
    parser.add_argument("--part", type=int, default=0, help="number of this process, from 0")
    options = parser.parse_args()
    if options.command == "run":
        run(options)
        return
    write_atomically(PAGE, fill(PAGE, tables(rows())))


def tables(table: Sequence[dict[str, str]]) -> dict[str, str]:
    """Return the tables of the page by name."""
    return {f"{name}-prototype": arms_table(table, name, "prototype") for name in DATA}


if __name__ == "__main__":
    main()
