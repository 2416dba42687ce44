"""``msal_lightning.load``: the model of a run as a function of file names, pictures, pixels or features."""

import io
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from msal_lightning.config.paths import expand
from msal_lightning.data.images.decoding import Decoding
from msal_lightning.embed.reading import Batch, read_batches
from msal_lightning.errors import DataError
from msal_lightning.inference.decision import Decision
from msal_lightning.inference.devices import device_of
from msal_lightning.inference.find_images import find_images
from msal_lightning.inference.network import Scorer
from msal_lightning.inference.ready import ReadyModel, ready_model
from msal_lightning.inference.threshold_file import require_decision

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_TIFF_MODES = ("I", "F", "I;16B", "CMYK", "YCbCr", "LAB")
_WORKERS = 4
ImageLike = str | Path | Image.Image | Tensor | NDArray[Any]


class ClassPredictions(NamedTuple):
    """Predictions for a batch, on the CPU.

    Attributes:
        classes: name of the class of each image, the most probable one unless a threshold decides, N.
        probabilities: (N, C) float32, in the order of ``class_names``.
        embeddings: (N, D) float32, the input of the head.
    """

    classes: list[str]
    probabilities: Tensor
    embeddings: Tensor


class ReadyClassifier:
    """A trained model that takes images as they come; :func:`load` makes it.

    Args:
        ready: the model.
        device: where it runs.
        decision: the rule for a rare class; None takes the most probable class.

    Attributes:
        class_names: one name for each class.
        device: see above.
    """

    def __init__(self, ready: ReadyModel, device: torch.device, decision: Decision | None = None) -> None:
        self._decision = decision
        self.class_names, self.device = ready.class_names, device
        self._ready, self._scorer = ready, Scorer(ready.network, device, embeddings=True)

    def __repr__(self) -> str:
        return f"<{self._ready.describe()}, on {self.device}>"

    def __call__(self, images: ImageLike | Iterable[ImageLike], batch_size: int = 128) -> ClassPredictions:
        """Predict the classes of images, which are decoded, cut and scaled as in the run's own test.

        Args:
            images: one image or several. An image is the name of a file; a picture of Pillow; a uint8 tensor
                (C, H, W), or array (H, W, C) or (H, W), of any size, in grey, RGB or RGBA. One tensor (N, C, H, W) or
                array (N, H, W, C) is several images. A run on features takes an array or tensor (N, D) of floats, or
                the name of a folder of features.
            batch_size: images a step.

        Raises:
            DataError: an image cannot be read, or is of another type or shape.
        """
        batches = (
            self._features(images, batch_size) if self._ready.decoding is None else self._images(images, batch_size)
        )
        parts = list[Tensor]()
        for batch, rows in self._scorer.run(batches):
            if batch.damaged:
                raise DataError(next(iter(batch.damaged.values())))
            parts.append(rows.clone())
        count = len(self.class_names)
        width = self._ready.network.backbone.out_features
        rows = torch.cat(parts) if parts else torch.empty((0, count + width))
        probabilities, embeddings = rows[:, :count], rows[:, count:]
        decision = self._decision
        found = probabilities.argmax(1).numpy() if decision is None else decision.classes(probabilities.numpy())
        return ClassPredictions([self.class_names[c] for c in found.tolist()], probabilities, embeddings)

    def _images(self, images: Any, batch_size: int) -> Iterable[Batch]:
        how = self._ready.decoding
        assert how is not None
        if isinstance(images, Tensor) and images.dtype == torch.uint8 and _is_decoded(images, how):
            return (Batch(0, part, {}) for part in torch.split(images, batch_size))
        given = _Given(_several(images), how)
        pin = self.device.type == "cuda"
        return read_batches(given, 0, len(given.images), batch_size, _WORKERS, pin)

    def _features(self, given: Any, batch_size: int) -> Generator[Batch]:
        if isinstance(given, str | Path):
            source = find_images([expand(str(given))], self._ready)
            yield from source.batches(0, len(source), batch_size, 1, False)
            return
        rows = given if isinstance(given, Tensor) else torch.from_numpy(np.array(given))
        rows = rows[None] if rows.ndim == 1 else rows
        width = self._ready.network.num_channels
        if rows.ndim != 2 or rows.shape[1] != width or not rows.is_floating_point():
            raise DataError(
                f"expected features (N, {width}) of a float type, got {rows.dtype} {tuple(rows.shape)}: compute them "
                "as those of the run"
            )
        if not bool(rows.isfinite().all()):
            raise DataError("expected finite features, got NaN or infinity: compute them again")
        for part in torch.split(rows, batch_size):
            yield Batch(0, part, {})


def load(
    run: str | Path,
    device: str | torch.device = "auto",
    data_root: str | Path | None = None,
    trust: Sequence[str] = (),
    threshold: bool = False,
) -> ReadyClassifier:
    """Return the model of a run, ready for new images; no code in its files is run.

    Example::

        classify = msal_lightning.load("runs/mine")
        classify("photo.jpg").classes                  # ['cat']
        classify(["a.jpg", "b.png"]).probabilities     # (2, C)

    Args:
        run: a run directory, which stands for its last model, or one of its checkpoints.
        device: ``auto`` for a GPU if there is one, ``cpu``, ``cuda:1``, ...
        data_root: folder of the run's own data, where they have moved; only some datasets are read again.
        trust: dotted paths of your own classes that the configuration of another user's run may name.
        threshold: decide about a rare class by the threshold that the command ``threshold`` chose.

    Raises:
        UserError: the run has no model, is damaged, or needs data that are not there.
    """
    words = [] if data_root is None else [f"--data.root={data_root}"]
    ready = ready_model(Path(expand(str(run))), words, trust, option="run")
    decision = require_decision(ready.trained, ready.class_names) if threshold else None
    return ReadyClassifier(ready, device_of(device, "device"), decision)


class _Given:
    """Images of several kinds, decoded when they are needed."""

    def __init__(self, images: list[ImageLike], how: Decoding) -> None:
        self.images, self.how = images, how

    def read(self, row: int) -> NDArray[np.uint8]:
        image = self.images[row]
        try:
            if isinstance(image, str | Path):
                return self.how.decode(str(image))
            if self.how.bands is not None and not isinstance(image, Image.Image):
                return self.how.square([Image.fromarray(plane) for plane in _planes(image, self.how.channels)])
            return self.how.decode(_as_file(image if isinstance(image, Image.Image) else _picture(image)))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            name = f"'{image}'" if isinstance(image, str | Path) else f"number {row}"
            raise DataError(
                f"cannot read the image {name} ({' '.join(str(error).split()):.160}): leave it out, or convert it"
            ) from None


def _several(images: Any) -> list[ImageLike]:
    if isinstance(images, str | Path | Image.Image):
        return [images]
    if isinstance(images, Tensor | np.ndarray):
        return [images] if images.ndim < 4 else [*images]
    return [*images]


def _is_decoded(images: Tensor, how: Decoding) -> bool:
    return images.ndim == 4 and tuple(images.shape[1:]) == (how.channels, how.size, how.size)


def _planes(image: Tensor | NDArray[Any], channels: int) -> NDArray[np.uint8]:
    """Return (C, H, W) uint8."""
    pixels = image.cpu().numpy() if isinstance(image, Tensor) else np.moveaxis(np.atleast_3d(image), -1, 0)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or len(pixels) != channels:
        kind = "tensor (C, H, W)" if isinstance(image, Tensor) else "array (H, W, C)"
        raise ValueError(f"expected a uint8 {kind} of {channels} channels, got {image.dtype} {tuple(image.shape)}")
    return np.ascontiguousarray(pixels)


def _picture(image: Tensor | NDArray[Any]) -> Image.Image:
    channels = image.shape[0] if isinstance(image, Tensor) else image.shape[2] if image.ndim == 3 else 1
    if channels not in (1, 3, 4):
        raise ValueError(f"expected 1, 3 or 4 channels, got {image.dtype} {tuple(image.shape)}")
    planes = _planes(image, channels)
    return Image.fromarray(planes[0] if channels == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0)))


def _as_file(picture: Image.Image) -> io.BytesIO:
    """Return a picture as a file without loss, so that it is read like a file: upright, transparency, 16 bits."""
    if picture.mode not in (*_PNG_MODES, *_TIFF_MODES):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    file = io.BytesIO()
    if picture.mode in _PNG_MODES:
        picture.save(file, "PNG", compress_level=0, exif=picture.getexif())
    else:
        picture.save(file, "TIFF")
    file.seek(0)
    return file
