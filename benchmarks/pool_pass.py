"""A pass over the pool with the error rate and Entropy's query, against bare forward passes and the reference style."""

import statistics
from collections.abc import Callable

import torch

from benchmarks.images import PRECISION, STEMS, RandomImages, model, trainer_factory
from benchmarks.measure import Row, device, in_turn, ratio
from benchmarks.reference import Network, OneByOne, probabilities
from msal_lightning import MSALClassifier, Query
from msal_lightning.strategies import Entropy, Strategy
from msal_lightning.training.lightning_noise import quiet_lightning

IMAGES = {"conv7": 60_000, "conv3": 10_000}  # conv3's time grows in proportion; 60,000 would take an hour
BATCH = 500
QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "use_distributed_sampler": False,
}


def query(network: MSALClassifier, data: RandomImages, strategy: Strategy, make: type[Query] = Query) -> Query:
    """A whole query of 250 images, as the loop does it."""
    data.reset(0)
    rider = make(strategy, 250, 0, 0)
    with quiet_lightning():
        trainer = trainer_factory(1)(callbacks=[rider], **QUIET)
        trainer.predict(network, datamodule=data, return_predictions=False)
    return rider


def bare(network: MSALClassifier, batches: list[torch.Tensor]) -> Callable[[], None]:
    """The limit: forward passes over normalized batches that lie ready."""

    def call() -> None:
        network.to(device()).eval()
        with torch.inference_mode(), torch.autocast(device(), torch.bfloat16, enabled=PRECISION == "bf16-mixed"):
            for batch in batches:
                network(batch)

    return call


def compare(stem: str, size: int, channels: int) -> dict[str, list[float]]:
    """Seconds of each pass."""
    count = IMAGES[stem]
    data = RandomImages(size, channels, count, eval_batch_size=BATCH)
    data.setup()
    image = (data.images[torch.arange(count)].float() / 255 - 0.5) / 0.3
    batches = list(image.to(device()).contiguous(memory_format=torch.channels_last).split(BATCH))
    ours, theirs = model(stem, channels), model(stem, channels)
    network = Network(theirs.backbone, theirs.head).to(device())
    images = OneByOne(data.images[torch.arange(count)], torch.arange(count) % 10)
    return in_turn(
        {
            "ours": lambda: query(ours, data, Entropy()),
            "bare": bare(ours, batches),
            "reference": lambda: probabilities(network, images),
        }
    )


def run() -> list[Row]:
    """Both stems."""
    rows = []
    for (stem, size, channels), faster in zip(STEMS, (3.0, 2.3), strict=True):
        times = compare(stem, size, channels)
        rates = {f"{name} images/s": IMAGES[stem] / statistics.median(values) for name, values in times.items()}
        case = f"{stem}, {IMAGES[stem]:,} of {size}×{size}, {PRECISION}"
        rows += [
            Row(f"{case}: of the bare passes' speed", rates, ratio(times["bare"], times["ours"]), 0.95),
            Row(f"{case}: times the reference style", rates, ratio(times["reference"], times["ours"]), faster),
        ]
    return rows
