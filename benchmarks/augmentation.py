"""Augmentation of a batch of 128 on the device, as a share of a training step of ResNet-18 (conv3)."""

import statistics

import torch
import torch.nn.functional as F

from benchmarks.images import PRECISION, model
from benchmarks.measure import Row, device, in_turn, ratio
from msal_lightning.data import Augmentation, CropFlip, RotateFlip


def share(augmentation: Augmentation, size: int) -> Row:
    """One row of the table."""
    images = torch.randint(0, 256, (128, 3, size, size), dtype=torch.uint8, device=device())
    label = torch.randint(0, 10, (128,), device=device())
    network = model("conv3", 3).to(device())
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        with torch.autocast(device(), torch.bfloat16, enabled=PRECISION == "bf16-mixed"):
            loss = F.cross_entropy(network(images.float() / 255), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    times = in_turn({"augment": lambda: augmentation(images, generator), "step": step}, runs=7)
    figures = {f"{name} ms": 1e3 * statistics.median(values) for name, values in times.items()}
    case = f"{type(augmentation).__name__}, {size}×{size}, share of a step"
    return Row(case, figures, ratio(times["augment"], times["step"]), 0.1, at_least=False)


def run() -> list[Row]:
    """CIFAR's on 32×32, TinyImageNet's on 64×64."""
    return [share(CropFlip(), 32), share(RotateFlip(), 64)]
