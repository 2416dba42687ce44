"""A network from scratch, frozen, probed first and fine-tuned, on clip art: the figure of docs/pretrained.md.

    python -m benchmarks.clipart --root /usr/share/openclipart/png --out clipart-runs

Each cell is an ordinary run directory below
--out: a second call goes on where the first one ended.
"""

import argparse
import contextlib
import io
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import matplotlib
import torch
from rich.progress import track

from benchmarks.clipart_pictures import CLASSES, SIDE, draw_pictures
from msal_lightning.cli.fit import fit
from msal_lightning.io.atomic import write_atomically
from msal_lightning.runs.records import RoundRecord, read_records

SEEDS = (0, 1, 2, 3, 4)
_TUNED = ("--model.backbone_lr", "0.0003")
MODES: dict[str, tuple[str, ...]] = {
    "frozen": ("--model.freeze", "all"),
    "probed, then fine-tuned": ("--model.freeze", "10", *_TUNED),
    "fine-tuned": ("--model.freeze", "none", *_TUNED),
    "from scratch": (
        *("--model.freeze", "none", "--model.backbone", "TimmBackbone"),
        *("--model.backbone.architecture", "tf_efficientnet_lite0", "--model.optimizer.lr", "0.001"),
    ),
}
DOCS = Path(__file__).parent.parent / "docs"


def run(pictures: Path, folder: Path, mode: str, seed: int) -> list[RoundRecord]:
    """Run a cell on one thread, or read it if it has ended."""
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        fit(
            [
                *("--config", "image_folder_pretrained", "--data.root", str(pictures), "--data.size", str(SIDE)),
                *("--data.batch_size", "8", *MODES[mode], "--query", "Random", "--seed", str(seed)),
                *("--loop.initial_size", "25", "--loop.query_size", "100", "--loop.query_budget", "200"),
                *("--trainer.precision", "32-true", "--run_dir", str(folder)),
            ]
        )
    return read_records(folder)


def cells(out: Path) -> Iterator[tuple[str, int, Path]]:
    """Mode, seed and run directory; the first seed of all modes goes first."""
    for seed in SEEDS:
        for mode in MODES:
            yield mode, seed, out / f"{mode.replace(' ', '-').replace(',', '')}-seed{seed}"


def table(results: dict[tuple[str, int], list[RoundRecord]]) -> str:
    """Accuracy of each mode by number of labels, mean ± sample standard deviation over the seeds."""
    counts = [record.num_labeled for record in next(iter(results.values()))]
    lines = [
        "| mode | " + " | ".join(f"{n} labels" for n in counts) + " | seconds a run |",
        "|---" * (len(counts) + 2) + "|",
    ]
    for mode in MODES:
        runs = [records for (name, _), records in results.items() if name == mode]
        columns = zip(*([r.accuracy for r in records] for records in runs), strict=True)
        shown = [f"{statistics.mean(column):.3f} ± {statistics.stdev(column):.3f}" for column in columns]
        seconds = statistics.median(sum(sum(r.seconds.values()) for r in records) for records in runs)
        lines.append(f"| {mode} | {' | '.join(shown)} | {seconds:.0f} |")
    return "\n".join(lines)


def draw(results: dict[tuple[str, int], list[RoundRecord]], file: Path) -> None:
    """Draw the mean curve of each mode with a band of one standard deviation."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for mode in MODES:
        runs = [records for (name, _), records in results.items() if name == mode]
        labels = [record.num_labeled for record in runs[0]]
        accuracy = torch.tensor([[record.accuracy for record in records] for records in runs])
        mean, std = accuracy.mean(0), accuracy.std(0)
        (line,) = axes.plot(labels, mean, marker="o", label=mode)
        axes.fill_between(labels, mean - std, mean + std, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(
        xlabel="labels", ylabel="test accuracy", title=f"Clip art, {len(CLASSES)} classes, {len(SEEDS)} seeds, Random"
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def main() -> None:
    """Run all cells and write table and figure."""
    matplotlib.use("agg")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder png of openclipart")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    options = parser.parse_args()
    pictures, results = options.out / "pictures", dict[tuple[str, int], list[RoundRecord]]()
    draw_pictures(options.root, pictures)
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        jobs = {
            pool.submit(run, pictures, folder, mode, seed): (mode, seed) for mode, seed, folder in cells(options.out)
        }
        for job in track(as_completed(jobs), total=len(jobs)):
            results[jobs[job]] = job.result()
    found = table(results)
    print(found)
    write_atomically(options.out / "table.md", found + "\n")
    draw(results, DOCS / "pretrained.png")


if __name__ == "__main__":
    main()
