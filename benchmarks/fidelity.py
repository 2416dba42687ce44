"""What the choices of docs/fidelity.md are worth on digits; writes the measured table into that page.

    python -m benchmarks.fidelity

Two variants at a time, which differ in one thing only, on the same seeds. Those that are wrong on purpose are defined
here and never in the package. Each cell is an ordinary run directory below --out: a second call goes on where the first
one ended.
"""

import argparse
import contextlib
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.progress import track
from torch import Tensor

from msal_lightning.analysis.report.tables import p_value, signed
from msal_lightning.analysis.stats.significance import holm, paired_t
from msal_lightning.cli.fit import fit
from msal_lightning.data.batches.loading import Batch
from msal_lightning.datasets import Digits
from msal_lightning.runs.records import RoundRecord, aubc, read_records
from msal_lightning.strategies import BALD, MSAL, Entropy, ScoreStrategy
from msal_lightning.strategies.base import mean_over_passes
from msal_lightning.strategies.outputs import PoolOutputs

# ---------------------------------------------------------------- wrong on purpose


class AugmentedPool(Digits):
    """Scores the pool through the training augmentation."""

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment what is predicted, too."""
        if self.augmentation is not None and self.trainer is not None and self.trainer.predicting:
            batch = batch._replace(image=self.augmentation(batch.image, self._augment_stream()))
        return super().on_after_batch_transfer(batch, dataloader_idx)


class WithoutDropout(ScoreStrategy):
    """Compares T passes of a network in which nothing is dropped: T times the same logits."""

    def __init__(self, strategy: ScoreStrategy = BALD()) -> None:  # noqa: B008 - stateless
        self.strategy = strategy

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:
        """The score of equal passes."""
        passes = pool.require("logits").repeat(self.strategy.mc_samples, 1, 1)
        return self.strategy.score(PoolOutputs(pool.index, mc_logits=passes), seed)


class MeanLogits(Entropy):
    """Entropy of the averaged logits instead of the averaged probabilities."""

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:
        """Mean over passes first, softmax second."""
        return self.of(mean_over_passes(pool.require("mc_logits")).softmax(dim=-1))


class TrainingMode(Callback):
    """The whole network in training mode during the pool pass: BatchNorm takes its statistics from each batch."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After Lightning has set the evaluation mode."""
        pl_module.train()


class WarmStart(Callback):
    """Each round goes on from the weights of the round before."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before the state of an interrupted fit is restored."""
        round = trainer.datamodule.round  # type: ignore[attr-defined]
        if stage == "fit" and round:
            file = Path(trainer.default_root_dir) / "checkpoints" / f"round-{round - 1:03d}.ckpt"
            pl_module.load_state_dict(torch.load(file, weights_only=True)["state_dict"])


class SharedMasks(BALD):
    """BALD with one mask a pass for all images."""

    shared_masks = True


class Reversed(ScoreStrategy):
    """Selects the lowest scores."""

    def __init__(self, strategy: ScoreStrategy = MSAL()) -> None:  # noqa: B008 - stateless
        self.strategy = strategy
        self._build_on(strategy)

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:
        """With the other sign."""
        return -self.strategy.score(pool, seed)


class LargestLogit(MSAL):
    """Eq. 2 with one norm for the whole pool: ranks by the inner product instead of the angle."""

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:
        """A common divisor changes no rank."""
        return -pool.require("logits").amax(dim=-1)


# ---------------------------------------------------------------- what is compared


@dataclass(frozen=True)
class Comparison:
    """Ours and another way.

    Attributes:
        section: number of the entry in docs/fidelity.md.
        ours: name of the variant in :data:`VARIANTS`.
        other: likewise.
        says: what the other one does.
    """

    section: str
    ours: str
    other: str
    says: str


HERE = "benchmarks.fidelity"
LINEAR = ("--model.head", "linear")
AUGMENTED = (
    *("--data.batch_size", "32", "--data.augmentation", "CropFlip"),
    *("--data.augmentation.padding", "1", "--data.augmentation.flip", "0"),
)
VARIANTS: dict[str, tuple[str, ...]] = {
    "Margin, augmented training": ("--query", "Margin", *LINEAR, "--data", "Digits", *AUGMENTED),
    "Margin, augmented pool": ("--query", "Margin", *LINEAR, "--data", f"{HERE}.AugmentedPool", *AUGMENTED),
    "VarRatio": ("--query", "VariationRatio", *LINEAR),
    "LeastConf": ("--query", "LeastConfidence", *LINEAR),
    "EntropyD": ("--query", "Entropy", "--query.mc_samples", "10", *LINEAR),
    "Entropy": ("--query", "Entropy", *LINEAR),
    "BALD": ("--query", "BALD", *LINEAR),
    "BALD, equal passes": ("--query", f"{HERE}.WithoutDropout", *LINEAR),
    "BALD, 100 passes": ("--query", "BALD", "--query.mc_samples", "100", *LINEAR),
    "BALD, shared masks": ("--query", f"{HERE}.SharedMasks", *LINEAR),
    "BALD, 100 shared masks": ("--query", f"{HERE}.SharedMasks", "--query.mc_samples", "100", *LINEAR),
    "EntropyD, mean logits": ("--query", f"{HERE}.MeanLogits", "--query.mc_samples", "10", *LINEAR),
    "EntropyD, training mode": (
        *("--query", "Entropy", "--query.mc_samples", "10", *LINEAR),
        *("--trainer.callbacks", f"{HERE}.TrainingMode"),
    ),
    "Entropy, warm start": ("--query", "Entropy", *LINEAR, "--trainer.callbacks", f"{HERE}.WarmStart"),
    "MSAL": ("--query", "MSAL"),
    "MSAL, ascending": ("--query", f"{HERE}.Reversed"),
    "MSAL, largest logit": ("--query", f"{HERE}.LargestLogit"),
    "CEAL, 0.05": ("--query", "CEAL", *LINEAR),
    "CEAL, 5e-5": ("--query", "CEAL", "--query.threshold", "5e-5", "--query.decay", "3.3e-7", *LINEAR),
    "DBAL": ("--query", "DBAL", *LINEAR),
}
COMPARISONS = (
    Comparison("4.1", "Margin, augmented training", "Margin, augmented pool", "pool scored with training augmentation"),
    Comparison("4.2", "Entropy", "Entropy, warm start", "weights carried over"),
    Comparison("1.2", "MSAL", "MSAL, largest logit", "Eq. 2 with one norm for all"),
    Comparison("1.3", "MSAL", "MSAL, ascending", "nearest to a prototype first"),
    Comparison("2.1", "EntropyD", "Entropy", "no dropout in the passes"),
    Comparison("2.2", "EntropyD", "EntropyD, mean logits", "logits averaged"),
    Comparison("2.3", "VarRatio", "LeastConf", "least confidence, one pass"),
    Comparison("2.1", "BALD", "BALD, equal passes", "no dropout in the passes"),
    Comparison("2.1", "EntropyD", "EntropyD, training mode", "BatchNorm in training mode"),
    Comparison("2.5", "BALD", "BALD, 100 passes", "100 passes"),
    Comparison("2.5", "BALD", "BALD, shared masks", "a mask for all images"),
    Comparison("2.5", "BALD", "BALD, 100 shared masks", "100 masks for all images"),
    Comparison("3.2", "DBAL", "EntropyD", "Gal's method of that name"),
    Comparison("3.1", "CEAL, 0.05", "CEAL, 5e-5", "the toolkit's threshold and decay"),
)
SEEDS = (0, 1, 2, 3, 4)
DIGITS = Path(__file__).with_name("digits.yaml")  # pinned: the page should not change with the default configuration
PROTOCOL = ("--config", str(DIGITS), "--loop.query_budget", "240", "--trainer.accelerator", "cpu")
DOCUMENT = Path(__file__).parent.parent / "docs" / "fidelity.md"
BEGIN, END = "<!-- measured by benchmarks/fidelity.py -->", "<!-- end of what was measured -->"


# ---------------------------------------------------------------- running and writing


def folder(out: Path, variant: str, seed: int) -> Path:
    """The run directory of a cell."""
    return out / f"{variant}-seed{seed}".replace(", ", "-").replace(" ", "-")


def run_cell(out: Path, variant: str, seed: int) -> None:
    """One cell, with its lines kept back."""
    with contextlib.redirect_stdout(io.StringIO()):
        fit([*PROTOCOL, *VARIANTS[variant], "--seed", str(seed), "--run_dir", str(folder(out, variant, seed))])


def shared(ours: list[RoundRecord], other: list[RoundRecord]) -> float:
    """Share of the first query, by the same model, that both made."""
    first, second = set(ours[0].queried.index), set(other[0].queried.index)
    return len(first & second) / len(first)


def spread(values: list[float]) -> str:
    """Mean ± sample standard deviation."""
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def table(out: Path, comparisons: Sequence[Comparison]) -> str:
    """Finished comparisons as Markdown."""
    rows, raw = [], []
    for comparison in comparisons:
        ours, other = ([read_records(folder(out, v, s)) for s in SEEDS] for v in (comparison.ours, comparison.other))
        areas = [aubc(run) for run in ours], [aubc(run) for run in other]
        difference = [b - a for a, b in zip(*areas, strict=True)]
        raw.append(paired_t(np.array(difference))[1] or 0.0)
        same = statistics.mean(map(shared, ours, other))
        change = f"{signed(statistics.mean(difference))} ± {statistics.stdev(difference):.4f}"
        rows.append(
            [
                f"[{comparison.section}](#s{comparison.section.replace('.', '')})",
                f"{comparison.ours.partition(',')[0]}: {comparison.says}",
                spread(areas[0]),
                spread(areas[1]),
                change,
                p_value(raw[-1]),
                f"{same:.0%}",
            ]
        )
    columns = [
        "entry",
        "the other way",
        "AUBC of ours",
        "AUBC of the other",
        "other − ours",
        "p",
        "p by Holm",
        "shared",
    ]
    lines = [columns, ["---"] * 2 + ["---:"] * 6]
    lines += [[*row[:6], p_value(p), row[6]] for row, p in zip(rows, holm(raw), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(text: str) -> None:
    """Put the table in its place on the page."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Run what is missing; the table grows with each comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/fidelity"), help="where the run directories go")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    for i, comparison in enumerate(track(COMPARISONS, "comparisons"), 1):
        for variant in (comparison.ours, comparison.other):
            for seed in SEEDS:
                run_cell(out, variant, seed)
        write(table(out, COMPARISONS[:i]))


if __name__ == "__main__":
    main()
