"""Fits of a small network, where Lightning takes long for a batch: whole epochs, single steps, and a bare loop."""

import contextlib
import io
import statistics
import tempfile
import time
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, Trainer

from benchmarks.measure import RUNS, Row, ratio
from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.data.batches.epoch_batches import EpochBatches
from msal_lightning.datasets import Digits
from msal_lightning.models.backbones import SmallCNN
from msal_lightning.strategies import Random

# the configuration digits of 2026-11-26: it may change later, and this figure should not change with it
ROUNDS = range(40, 401, 40)
EPOCHS, BATCH, WIDTH = 30, 32, 32


class SeesSteps(Callback):
    """Makes Lightning run each step as a batch of its own."""

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


def network() -> MSALClassifier:
    """The network and the optimizer of the configuration."""
    return MSALClassifier(
        10, 1, lambda channels: SmallCNN(channels, width=WIDTH),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3, fused=True),
    )  # fmt: skip


def fits(*own: Callback) -> float:
    """Seconds of the fits of a run."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        records = ActiveLoop(
            network,
            lambda callbacks, **settings: Trainer(
                max_epochs=EPOCHS, accelerator="cpu", devices=1, callbacks=[*own, *callbacks], **settings
            ),
            Digits(batch_size=BATCH, last_batch="keep"),
            Random(),
            RunDirectory(folder),
            LoopOptions(
                ROUNDS[0], ROUNDS.step, ROUNDS[-1] - ROUNDS[0], keep_checkpoints="none", checkpoint_seconds=1e9
            ),
        ).run()
    return sum(record.seconds["fit"] for record in records)


def bare() -> float:
    """Seconds of the same steps on batches that lie ready, without a Trainer."""
    images, labels = Digits().load()[0]
    total = 0.0
    for n in ROUNDS:
        model = network().train()
        optimizer = model.configure_optimizers()
        epoch = [
            ((images[index].float() - 77) / 96, labels[index])
            for index in EpochBatches(torch.arange(n), BATCH, seed=0, last_batch="keep")
        ]
        start = time.perf_counter()
        for _ in range(EPOCHS):
            for image, label in epoch:
                loss = F.cross_entropy(model(image), label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        total += time.perf_counter() - start
    return total


def run() -> list[Row]:
    """All three in turn, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    calls = {"whole epochs": fits, "single steps": lambda: fits(SeesSteps()), "bare": bare}
    rounds = [{name: call() for name, call in calls.items()} for _ in range(RUNS + 1)][1:]
    torch.set_num_threads(threads)
    times = {name: [seconds[name] for seconds in rounds] for name in calls}
    rates = {f"{name} s": statistics.median(values) for name, values in times.items()}
    case = f"SmallCNN, 8×8, batches of {BATCH}, the {len(ROUNDS)} fits of a run"
    return [
        Row(f"{case}: of the bare loop's speed", rates, ratio(times["bare"], times["whole epochs"]), 0.92),
        Row(f"{case}: single steps, of the bare loop's speed", rates, ratio(times["bare"], times["single steps"])),
    ]
