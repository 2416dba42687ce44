"""What an image of a very large pool costs beside the model: its place in the split, its digest, its decoding."""

import io
import statistics
import tempfile
from pathlib import Path

import torch
from PIL import Image

from benchmarks.measure import RUNS, Row, peak_megabytes, seconds
from msal_lightning import ActiveDataModule
from msal_lightning.data import ImageSet
from msal_lightning.data.images.image_files import ImageFiles

COUNT = 50_000_000
JPEGS, SIDE = 400, 224


class Many(ActiveDataModule):
    """A pool of one image that counts as many."""

    mean, std, class_names = (0.5,), (0.3,), tuple("0123456789")

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The same pixel everywhere, without its memory."""
        image = torch.zeros(1, 1, 1, 1, dtype=torch.uint8)
        return ImageSet(image.expand(COUNT, 1, 1, 1), torch.zeros(COUNT, dtype=torch.int64)), ImageSet(
            image, torch.zeros(1, dtype=torch.int64)
        )


def photographs(folder: Path) -> list[Path]:
    """JPEG files of 500×375 with some texture, about 60 kB each, as in ImageNet."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (3, 47, 63), generator=generator, dtype=torch.uint8).permute(1, 2, 0)
    picture = Image.fromarray(coarse.numpy()).resize((500, 375), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    paths = [folder / f"{k}.jpg" for k in range(JPEGS)]
    for path in paths:
        path.write_bytes(buffer.getvalue())
    return paths


def run() -> list[Row]:
    """Per image; what a round does with the split, and one core that decodes."""
    data = Many()
    before = peak_megabytes()
    data.setup()
    memory = (peak_megabytes() - before) * 1e6 / COUNT
    data.reset(0)
    data.label(torch.arange(10_000) * 1_000, 0)
    digest, pool = seconds(data.digest), seconds(lambda: data.pool)
    data.enter(pool_limit=1_000_000)
    limited = seconds(lambda: data.scored)
    working = (peak_megabytes() - before) * 1e6 / COUNT
    with tempfile.TemporaryDirectory() as folder:
        files = ImageFiles(photographs(Path(folder)), SIDE, 3)
        torch.set_num_threads(1)
        decoding = statistics.median(seconds(lambda: files[torch.arange(JPEGS)]) for _ in range(RUNS)) / JPEGS
    case = f"split of {COUNT:,} images"
    return [
        Row(f"{case}: bytes an image, at rest", {}, memory),
        Row(f"{case}: bytes an image, largest while a round runs", {}, working),
        Row(f"{case}: digest, ns an image", {"s": digest}, 1e9 * digest / COUNT),
        Row(f"{case}: list of the pool, ns an image", {"s": pool}, 1e9 * pool / COUNT),
        Row(f"{case}: loop.pool_limit 1,000,000, ns an image", {"s": limited}, 1e9 * limited / COUNT),
        Row(f"a JPEG file of 500×375 to {SIDE}×{SIDE} on one core, ms", {}, 1e3 * decoding),
    ]
