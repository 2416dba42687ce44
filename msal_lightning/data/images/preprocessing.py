"""What a network expects of its images: size, cut, scale of the values."""

from dataclasses import dataclass, replace
from typing import Any

from msal_lightning.data.images.decoding import Decoding, Fit, Interpolation
from msal_lightning.errors import ConfigError

Colour = tuple[float, float, float]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the input of a network.

    Attributes:
        size: pixels of a side.
        resize: with crop and squash, pixels to which the sides are scaled before the center is cut out.
        fit: how an image becomes a square, see :class:`~msal_lightning.data.images.decoding.Decoding`.
        interpolation: how pixels are scaled.
        mean: mean of red, green and blue, 0 to 1.
        std: standard deviation of red, green and blue.
        background: red, green and blue, 0 to 255, behind transparent pixels and beside a letterboxed image.
    """

    size: int = 224
    resize: int | None = 256
    fit: Fit = "crop"
    interpolation: Interpolation = "bilinear"
    mean: Colour = IMAGENET_MEAN
    std: Colour = IMAGENET_STD
    background: tuple[int, int, int] = (255, 255, 255)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"expected --size to be at least 1 pixel, got {self.size}: 224 is usual")
        if self.resize is not None and self.resize < self.size:
            raise ConfigError(
                f"expected --resize to be at least --size {self.size}, got {self.resize}: the center is cut out of it"
            )
        if min(self.std) <= 0:
            raise ConfigError(f"expected --std to be above 0, got {[*self.std]}: it divides the values")

    def with_options(self, **given: Any) -> "Preprocessing":
        """Return a copy with other values; a new size scales resize, unless that is given too.

        Args:
            **given: values by name; None keeps the value.
        """
        changes = {name: value for name, value in given.items() if value is not None}
        if changes.get("fit", self.fit) == "letterbox":
            if "resize" in changes:
                raise ConfigError("expected --resize with --fit crop or squash, got letterbox: leave it out")
            changes["resize"] = None
        elif "size" in changes and self.resize is not None:
            changes.setdefault("resize", round(self.resize * changes["size"] / self.size))
        return replace(self, **changes)

    def describe(self) -> str:
        """Return a line for a person."""
        mean, std = (", ".join(f"{value:g}" for value in dict.fromkeys(values)) for values in (self.mean, self.std))
        scaled = f" of {self.resize}×{self.resize}" if self.resize else ""
        return f"{self.size}×{self.size}{scaled}, {self.fit}, {self.interpolation}, mean {mean}, std {std}"

    def decoding(self, like: Decoding | None) -> Decoding:
        """Return how images are read in colour.

        Args:
            like: how their dataset reads image files: ranges of values and bands are taken from it.
        """
        like = like or Decoding(self.size, 3)
        return Decoding(
            self.size,
            3,
            self.fit,
            like.bands,
            like.ranges,
            self.background,
            like.strict,
            self.background,
            resize=self.resize,
            interpolation=self.interpolation,
        )
