"""Every query strategy on both heads on digits: what it reaches, what a query costs; fills in docs/strategies.md.

    python -m benchmarks.strategies --jobs 2

Each cell is an ordinary run directory below --out: a second call goes on where the first one ended. Jobs have one
thread each, so that they don't stall each other.
"""

import argparse
import contextlib
import io
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.progress import track

from benchmarks.marks import fill
from msal_lightning.cli.fit import fit
from msal_lightning.config.parser import build_parser, instantiate, parse
from msal_lightning.runs.records import RoundRecord, aubc, read_records

DROPOUT = ("--query.mc_samples", "10")
ROWS: dict[str, tuple[str, ...]] = {
    "Random": ("Random",),
    "LeastConf": ("LeastConfidence",),
    "Margin": ("Margin",),
    "Entropy": ("Entropy",),
    "LeastConfD": ("LeastConfidence", *DROPOUT),
    "MarginD": ("Margin", *DROPOUT),
    "EntropyD": ("Entropy", *DROPOUT),
    "BALD": ("BALD",),
    "MeanSTD": ("MeanSTD",),
    "VarRatio": ("VariationRatio",),
    "CEAL(Entropy)": ("CEAL",),
    "CEAL(MSAL)": ("CEAL", "--query.uncertainty", "MSAL"),
    "KMeans": ("KMeans",),
    "KMeans (faiss)": ("KMeansFaiss",),
    "KCenter": ("KCenter",),
    "BADGE": ("BADGE",),
    "DBAL": ("DBAL",),
    "MSAL": ("MSAL",),
    "MSAL-D": ("MSALD",),
    "LeastConf(MSAL-D)": ("MSALD", "--query.uncertainty", "LeastConfidence"),
    "Margin(MSAL-D)": ("MSALD", "--query.uncertainty", "Margin"),
    "Entropy(MSAL-D)": ("MSALD", "--query.uncertainty", "Entropy"),
    "BatchBALD": ("BatchBALD",),
    "PowerBALD": ("PowerAcquisition",),
    "SoftmaxBALD": ("SoftmaxAcquisition",),
    "TypiClust": ("TypiClust",),
    "ProbCover": ("ProbCover",),
    "MSAL-D, coverage": ("MSALD", "--query.diversity", "coverage"),
    "TCM": ("TCM",),
    "SEALS(Entropy)": ("SEALS",),
    "MaxHerding": ("MaxHerding",),
    "UHerding": ("UHerding",),
    "UHerding(MSAL)": ("UHerding", "--query.uncertainty", "MSAL"),
    "FALCUN": ("FALCUN",),
    "DropQuery": ("DropQuery",),
    "ClusterMargin": ("ClusterMargin",),
    "BAIT": ("BAIT",),
    "EPIG": ("EPIG",),
    "GALAXY": ("GALAXY",),
    "DIRECT": ("DIRECT",),
    "ALFAMix": ("ALFAMix",),
}
HEADS = ("linear", "prototype")
DIGITS = Path(__file__).with_name("digits.yaml")  # pinned: the page should not change with the default configuration
SEEDS = (0, 1, 2)
DOCUMENT = Path(__file__).parent.parent / "docs" / "strategies.md"


def arguments(row: str, head: str) -> list[str]:
    """What ``fit`` gets."""
    name, *options = ROWS[row]
    return ["--config", str(DIGITS), "--query", name, *options, "--model.head", head]


def cells() -> Iterator[tuple[str, str, int]]:
    """Row, head and seed, where the strategy has a meaning on the head."""
    parser = build_parser()
    for row in ROWS:
        strategy = instantiate(parser, parse(parser, arguments(row, "prototype")), "query").query
        for head in HEADS:
            if head == "prototype" or not strategy.needs_prototypes:
                yield from ((row, head, seed) for seed in SEEDS)


def folder(out: Path, row: str, head: str, seed: int) -> Path:
    """The run directory of a cell."""
    return out / f"{row}-{head}-seed{seed}".replace(" ", "-")


def run_cell(out: Path, row: str, head: str, seed: int) -> None:
    """One cell, with its lines kept back."""
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):
        fit([*arguments(row, head), "--seed", str(seed), "--run_dir", str(folder(out, row, head, seed))])


def spread(values: list[float]) -> str:
    """Mean ± sample standard deviation."""
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def query_seconds(runs: list[list[RoundRecord]]) -> float:
    """Median over the rounds that queried something: pool pass and selection."""
    return statistics.median(record.seconds["query"] for run in runs for record in run if record.queried.index)


def measured(out: Path) -> str:
    """The table of the page."""
    lines = [
        "| strategy | head | AUBC | final accuracy | seconds per query | `--query` |",
        "|---|---|---|---|---|---|",
    ]
    for row, head in dict.fromkeys((row, head) for row, head, _ in cells()):
        runs = [read_records(folder(out, row, head, seed)) for seed in SEEDS]
        values = (
            row,
            head,
            spread([aubc(records) for records in runs]),
            spread([records[-1].accuracy for records in runs]),
            f"{query_seconds(runs):.3f}",
            f"`{' '.join(ROWS[row])}`",
        )
        lines.append(f"| {' | '.join(values)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--out", type=Path, default=Path("runs/strategies"), help="where the run directories go")
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(run_cell, options.out, *cell) for cell in cells()]
        for done in track(as_completed(running), "runs", total=len(running)):
            done.result()
    DOCUMENT.write_text(fill(DOCUMENT, {"measured": measured(options.out)}), encoding="utf-8")


if __name__ == "__main__":
    main()
