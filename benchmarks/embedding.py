"""Speed of ``embed`` against a bare loop with the same decoder, threads and model: openclipart, Lite0, 128×128."""

import argparse
import contextlib
import io
import os
import random
import shutil
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benchmarks.measure import Row, in_turn, ratio
from msal_lightning.cli.embed.options import read_options
from msal_lightning.cli.embed.parts import prepare
from msal_lightning.embed.progress import EmbedProgress
from msal_lightning.embed.run import describe_source
from msal_lightning.models.timm_backbone import EfficientNetLite0

CLIPART = Path(os.environ.get("CLIPART", "/usr/share/openclipart/png"))
"""Folder of Debian's package openclipart-png."""
IMAGES, BATCH, THREADS = 1_024, 64, 2
LARGEST = 2**18  # bytes


def draw(folder: Path) -> None:
    """Link to some of the pictures, drawn by seed, without the few that are larger than Pillow reads."""
    files = [file for file in sorted(CLIPART.rglob("*.png")) if file.lstat().st_size < LARGEST]
    for k, file in enumerate(random.Random(0).sample(files, IMAGES)):
        (folder / f"{k:04d}.png").symlink_to(file.resolve())


def options(folder: Path, out: Path) -> argparse.Namespace:
    """The options of the command."""
    words = [str(folder), "--out", str(out), "--model", "EfficientNetLite0", "--size", "128", "--precision", "32-true"]
    return read_options([*words, "--batch_size", str(BATCH), "--num_workers", str(THREADS), "--accelerator", "cpu"])


def run() -> list[Row]:
    """Five of each in turn; the time of ``embed`` includes its look at all files, and its writes."""
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        folder, out = Path(name) / "images", Path(name) / "out"
        folder.mkdir()
        draw(folder)
        parts = prepare(options(folder, out))
        work, rows = parts.embedding, parts.rows
        model = EfficientNetLite0(3).eval()

        def embed() -> None:
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            manifest = work.begin(parts.manifest(describe_source(parts.data, out)))
            for shard in work.shards:
                work.compute(shard, lambda: None, EmbedProgress(len(rows)))
            work.finish(manifest)

        def bare() -> None:
            with ThreadPoolExecutor(THREADS) as pool, torch.inference_mode():
                for first in range(0, len(rows), BATCH):
                    images = np.stack([*pool.map(rows.read, range(first, min(first + BATCH, len(rows))))])
                    model((torch.from_numpy(images).float() / 255 - 0.5) / 0.5).half()

        times = in_turn({"embed": embed, "bare": bare})
    figures = {f"{name} images/s": len(rows) / statistics.median(values) for name, values in times.items()}
    return [Row(f"{len(rows):,} pictures", figures, ratio(times["bare"], times["embed"]), 0.9)]
