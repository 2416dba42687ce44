"""A training epoch of 5,000 images against a bare loop over ready-made tensors, and against the reference style."""

import contextlib
import io
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.images import PRECISION, STEMS, RandomImages, model, trainer_factory
from benchmarks.measure import RUNS, Row, device, ratio, seconds
from benchmarks.reference import Network, OneByOne, epoch
from msal_lightning import ActiveLoop, LoopOptions, MSALClassifier, RunDirectory
from msal_lightning.strategies import Random

IMAGES = 5_000
BATCH = 128


class BareLoop:
    """The limit: normalized batches that lie ready, the same network, precision, memory format and optimizer.

    Args:
        network: on the CPU.
        data: whose images are made ready.
        images: number of images of an epoch.
        batch: images of a step.
    """

    def __init__(self, network: MSALClassifier, data: RandomImages, images: int = IMAGES, batch: int = BATCH) -> None:
        self.network = network.to(device()).train()
        self.optimizer: torch.optim.Optimizer = network.configure_optimizers()
        image = (data.images[torch.arange(images)].float() / 255 - 0.5) / 0.3
        image = image.to(device()).contiguous(memory_format=torch.channels_last)
        label = (torch.arange(images) % 10).to(device())
        self.batches = list(zip(image.split(batch), label.split(batch), strict=True))

    def __call__(self) -> None:
        """One epoch."""
        for image, label in self.batches:
            self.step(image, label)

    def step(self, image: torch.Tensor, label: torch.Tensor) -> None:
        """One optimizer step."""
        with torch.autocast(device(), torch.bfloat16, enabled=PRECISION == "bf16-mixed", cache_enabled=False):
            loss = F.cross_entropy(self.network(image), label)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


class Alternate(Callback):
    """Between two epochs of the loop, one epoch of each other way.

    Args:
        others: what takes an epoch, by name.
    """

    def __init__(self, others: Mapping[str, Callable[[], None]]) -> None:
        self.others = others
        self.times: dict[str, list[float]] = {name: [] for name in ("ours", *others)}
        self._started: float | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here to here, everything in between, is an epoch of the loop's."""
        if self._started is not None:
            self.times["ours"].append(time.perf_counter() - self._started)
        for name, call in self.others.items():
            self.times[name].append(seconds(call))
        self._started = time.perf_counter()


def compare(stem: str, size: int, channels: int) -> dict[str, list[float]]:
    """Seconds of each epoch but the first, of the three in turn."""
    data = RandomImages(size, channels, IMAGES, batch_size=BATCH)
    data.setup()
    theirs = model(stem, channels)
    network = Network(theirs.backbone, theirs.head).to(device())
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    images = OneByOne(data.images[torch.arange(IMAGES)], torch.arange(IMAGES) % 10)
    alternate = Alternate(
        {
            "bare": BareLoop(model(stem, channels), data),
            "reference": lambda: deque(epoch(network, optimizer, images), maxlen=0).clear(),
        }
    )
    new_trainer = trainer_factory(RUNS + 2)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        ActiveLoop(
            lambda: model(stem, channels),
            lambda callbacks, **settings: new_trainer(callbacks=[alternate, *callbacks], **settings),
            data,
            Random(),
            RunDirectory(folder),
            LoopOptions(initial_size="all"),
        ).run()
    return {name: times[1 : RUNS + 1] for name, times in alternate.times.items()}


def run() -> list[Row]:
    """Both stems."""
    rows = []
    for (stem, size, channels), faster in zip(STEMS, (1.4, 1.6), strict=True):
        times = compare(stem, size, channels)
        rates = {f"{name} images/s": IMAGES / statistics.median(values) for name, values in times.items()}
        case = f"{stem}, {size}×{size}, {PRECISION}"
        rows += [
            Row(f"{case}: of the bare loop's speed", rates, ratio(times["bare"], times["ours"]), 0.95),
            Row(f"{case}: times the reference style", rates, ratio(times["reference"], times["ours"]), faster),
        ]
    return rows
