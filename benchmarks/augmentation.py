"""Augmentation on the device against a training step of ResNet-18 (conv3, batch 128, channels-last), side by side.

    python benchmarks/augmentation.py

Medians of seven each, A B A B: CropFlip on 32×32 as for CIFAR, RotateFlip on 64×64 as for TinyImageNet. The aim is less
than 10 % of a step.
"""

import statistics
import time
from collections.abc import Callable

import torch

from msal_lightning import MSALClassifier
from msal_lightning.backbones import ResNet18
from msal_lightning.data import Augmentation, Batch, CropFlip, RotateFlip

RUNS = 7
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def milliseconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)


def row(augmentation: Augmentation, size: int) -> str:
    """One line of the table."""
    images = torch.randint(0, 256, (128, 3, size, size), dtype=torch.uint8, device=DEVICE)
    label = torch.randint(0, 10, (128,), device=DEVICE)
    model = MSALClassifier(10, 3, lambda channels: ResNet18(channels, stem="conv3")).to(DEVICE)
    model.log = lambda *args, **kwargs: None  # type: ignore[method-assign] # there is no Trainer
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        loss = model.training_step(Batch(label, images.float() / 255, label), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def augment() -> None:
        augmentation(images, generator)

    for call in (step, augment):
        call()
    pairs = [(milliseconds(step), milliseconds(augment)) for _ in range(RUNS)]
    share = statistics.median(b / a for a, b in pairs)
    once, extra = (statistics.median(column) for column in zip(*pairs, strict=True))
    return f"{type(augmentation).__name__:12} {size}×{size} {once:9.1f} {extra:11.2f} {share:7.2%}"


def main() -> None:
    """Print one line per augmentation."""
    print(f"{torch.get_num_threads()} threads, {DEVICE}\n{'':12} {'':5} {'step ms':>9} {'augment ms':>11} {'share':>7}")
    print(row(CropFlip(), 32))
    print(row(RotateFlip(), 64))


if __name__ == "__main__":
    main()
