"""bfloat16 against float32 on this device: a training step of 128 images, and scoring 500."""

import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks.images import STEMS, model
from benchmarks.measure import Row, device, in_turn, ratio
from msal_lightning import MSALClassifier
from msal_lightning.models.backbones import SmallCNN


def calls(network: MSALClassifier, image: torch.Tensor, train: bool) -> dict[str, Callable[[], None]]:
    """The same work in both precisions, ten times each."""
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    label = torch.arange(len(image), device=device()) % 10

    def work(half: bool) -> None:
        network.train(train)
        for _ in range(10):
            with torch.set_grad_enabled(train), torch.autocast(device(), torch.bfloat16, enabled=half):
                loss = F.cross_entropy(network(image), label)
            if train:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return {"float32": lambda: work(False), "bfloat16": lambda: work(True)}


def run() -> list[Row]:
    """The paper's networks, and that of the digits configuration on its batches of 32."""
    networks = [(f"ResNet-18 {stem}, {size}×{size}", model(stem, c), size, c, 128) for stem, size, c in STEMS]
    networks.append(("SmallCNN, 8×8", MSALClassifier(10, 1, SmallCNN), 8, 1, 32))
    rows = []
    for name, network, size, channels, batch in networks:
        network.to(device())
        for what, count, train in (("training", batch, True), ("scoring", 500, False)):
            image = torch.randn(count, channels, size, size, device=device())
            times = in_turn(calls(network, image, train))
            rates = {f"{key} images/s": 10 * count / statistics.median(values) for key, values in times.items()}
            rows.append(
                Row(f"{name}: {what}, times as fast in bfloat16", rates, ratio(times["float32"], times["bfloat16"]))
            )
    return rows
