"""A pool pass with ten passes of dropout against one without, side by side.

    python benchmarks/dropout_passes.py

Medians of five runs each, A B A B: 5,000 images 28×28 through ResNet-18 (conv7), and 1,257 digits through SmallCNN,
by Margin with and without mc_samples, on the prototype head; selection included, nothing bought.
"""

import statistics
import time

import torch
from lightning.pytorch import Trainer

from msal_lightning import ActiveDataModule, MSALClassifier, Query
from msal_lightning.backbones import ResNet18, SmallCNN
from msal_lightning.data import Digits, Images
from msal_lightning.quiet import quiet_lightning
from msal_lightning.strategies import Margin

RUNS = 5


class Grey(ActiveDataModule):
    """Random images of MNIST's size."""

    mean, std, class_names = (0.5,), (0.3,), tuple("0123456789")

    def load(self) -> tuple[Images, Images]:
        """5,000 to learn from."""
        generator = torch.Generator().manual_seed(0)
        image = torch.randint(0, 256, (5_010, 1, 28, 28), dtype=torch.uint8, generator=generator)
        label = torch.arange(5_010) % 10
        return Images(image[:5_000], label[:5_000]), Images(image[5_000:], label[5_000:])


def seconds(model: MSALClassifier, data: ActiveDataModule, mc_samples: int) -> float:
    """One query."""
    data.reset(0)
    with quiet_lightning():
        trainer = Trainer(
            accelerator="auto",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Query(Margin(mc_samples), 100, 0, 0)],
        )
        start = time.perf_counter()
        trainer.predict(model, datamodule=data, return_predictions=False)
    return time.perf_counter() - start


def main() -> None:
    """Print one line per model."""
    print(f"{torch.get_num_threads()} threads\n{'model':12} {'once s':>8} {'T = 10 s':>9} {'ratio':>6}")
    for data, backbone in ((Grey(), ResNet18), (Digits(), SmallCNN)):
        data.setup()
        model = MSALClassifier(10, 1, backbone)
        seconds(model, data, 10)
        once, ten = zip(*((seconds(model, data, 0), seconds(model, data, 10)) for _ in range(RUNS)), strict=True)
        ratio = statistics.median(b / a for a, b in zip(once, ten, strict=True))
        print(f"{backbone.__name__:12} {statistics.median(once):8.3f} {statistics.median(ten):9.3f} {ratio:6.2f}")


if __name__ == "__main__":
    main()
