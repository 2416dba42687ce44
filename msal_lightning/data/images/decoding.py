"""Conversion of an image file to a square with 8 bits per channel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from msal_lightning.data.images.formats import formats
from msal_lightning.data.images.raw_pixels import Raw, read_raw

Fit = Literal["crop", "letterbox", "squash"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
Range = tuple[float, float]
WHITE = (255, 255, 255)
ANY = "any"
"""Key of a range that holds for every dtype with more than 8 bits."""


@dataclass(frozen=True)
class Decoding:
    """Options for reading the files of a dataset; values of 8-bit files are not changed.

    Attributes:
        size: pixels of a side.
        channels: 3 for RGB, 1 for grey; with bands, their number.
        fit: how the image becomes a square.
        bands: numbers of the samples that become channels, from 1; None reads grey or RGB.
        ranges: lowest and highest value of each dtype with more than 8 bits; None uses the range of the integer type.
        padding: value of each channel beside a letterboxed image.
        strict: refuse files that have more bands than the channels use.
        background: red, green and blue behind transparent pixels; None ignores transparency. The transparency of a
            TIFF file is always ignored, because it is often a mask or one more band.
        resize: pixels to which the shorter side (crop) or both sides (squash) are scaled before the center is cut out;
            None cuts first.
        interpolation: how pixels are scaled, see Pillow's ``Resampling``; without aliasing, except for nearest.
    """

    size: int
    channels: int
    fit: Fit = "crop"
    bands: tuple[int, ...] | None = None
    ranges: Mapping[str, Range] | None = None
    padding: tuple[int, ...] | None = None
    strict: bool = True
    background: tuple[int, ...] | None = WHITE
    resize: int | None = None
    interpolation: Interpolation = "bilinear"

    def decode(self, source: str | BinaryIO) -> NDArray[np.uint8]:
        """Read an image, turn it upright, and make it a square.

        Returns:
            (C, size, size).

        Raises:
            OSError: the file cannot be read; also errors in :data:`~msal_lightning.data.images.formats.UNREADABLE`.
        """
        return self.square(self._planes(source, self.resize or self.size))

    def square(self, pictures: Sequence[Image.Image]) -> NDArray[np.uint8]:
        """Make a square of an upright picture of 8 bits.

        Args:
            pictures: one picture in grey or colour, or one in grey for each channel.

        Returns:
            (C, size, size).
        """
        planes = [self._square(plane, channel) for channel, plane in enumerate(pictures)]
        pixels = [np.array(plane) for plane in planes]  # copies, because Pillow's arrays are not writable
        if len(pixels) == 1 and pixels[0].ndim == 3:
            return np.ascontiguousarray(pixels[0].transpose(2, 0, 1))
        return np.stack(pixels)

    def picture(self, source: str | BinaryIO, side: int) -> Image.Image:
        """Return the whole image in colour for a person; of more than three channels, the first three.

        Args:
            source: path or open file.
            side: desired pixels of a side; a large JPEG is decoded at most at about twice this size.

        Raises:
            OSError: the file cannot be read; also errors in :data:`~msal_lightning.data.images.formats.UNREADABLE`.
        """
        if self.bands is None:
            colour = replace(self, channels=3, strict=False)  # the model may see a colour file in grey
            return colour._planes(source, side)[0]
        planes = self._planes(source, side)
        return Image.merge("RGB", planes[:3]) if len(planes) >= 3 else planes[0].convert("RGB")

    def is_plain(self, path: str) -> bool:
        """Return whether a viewer shows the same values as the model gets: all channels, 8 bits of grey or colour.

        Raises:
            OSError: the file cannot be read; also errors in :data:`~msal_lightning.data.images.formats.UNREADABLE`.
        """
        return self.bands is None and read_raw(path) is None

    def seen(self, width: int, height: int) -> tuple[float, float, float, float] | None:
        """Return the part that the model sees: left, top, width and height as shares; None for the whole image."""
        cut = 1.0 if self.resize is None else self.size / self.resize
        across, down = (min(1.0, height / width), min(1.0, width / height)) if self.fit == "crop" else (1.0, 1.0)
        across, down = across * cut, down * cut
        if across == down == 1:
            return None
        return (1 - across) / 2, (1 - down) / 2, across, down

    def _planes(self, source: str | BinaryIO, size: int) -> list[Image.Image]:
        """Return one picture in grey or colour, or one for each band; upright and uncropped."""
        raw = read_raw(source, all_bands=self.bands is not None)
        if self.bands is not None:
            samples = self._to_8_bits(raw or as_raw(source, size))
            if missing := [band for band in self.bands if band > samples.shape[2]]:
                raise ValueError(f"it has {samples.shape[2]} bands, but data.bands names band {missing[0]}")
            return [Image.fromarray(np.ascontiguousarray(samples[:, :, band - 1])) for band in self.bands]
        mode: Literal["L", "RGB"] = "L" if self.channels == 1 else "RGB"
        if raw is None:
            return [_open_8_bits(source, size, mode, self.background)]
        samples = self._to_8_bits(raw)
        colours = samples.shape[2] - raw.num_alpha
        if self.strict and colours not in (1, self.channels, 3):
            raise ValueError(f"it has {colours} bands: name the ones to use in data.bands")
        first = samples[:, :, :3] if colours >= 3 else samples[:, :, 0]
        if raw.see_through and self.background is not None:
            opacity = raw.samples[:, :, -1:] / np.iinfo(raw.samples.dtype).max
            behind = np.array(self.background, np.float64)
            first = np.rint(opacity * first.reshape(*first.shape[:2], -1) + (1 - opacity) * behind).astype(np.uint8)
        return [Image.fromarray(np.ascontiguousarray(first)).convert(mode)]

    def _to_8_bits(self, raw: Raw) -> NDArray[np.uint8]:
        samples, name = raw.samples, raw.samples.dtype.name
        if name == "uint8":
            return samples
        if name == "bool":
            return samples.astype(np.uint8) * np.uint8(255)
        if self.ranges is None and samples.dtype.kind == "f":
            raise ValueError("its pixels are floating-point numbers of an unknown range")
        if self.ranges is None:
            info = np.iinfo(samples.dtype)
            return to_8_bits(samples, (float(info.min), float(info.max)))
        found = self.ranges.get(name) or self.ranges.get(ANY)
        if found is None:
            raise ValueError(f"its pixels are {name}, but the files sampled for the value range had none: convert it")
        return to_8_bits(samples, found)

    def _square(self, plane: Image.Image, channel: int) -> Image.Image:
        size, how = (self.size, self.size), Image.Resampling[self.interpolation.upper()]
        if self.resize is not None:
            return _cut(plane, _sides(plane.size, self.resize, self.fit), self.size, how)
        if plane.size == size:
            return plane
        if self.fit == "crop":
            return ImageOps.fit(plane, size, how)
        if self.fit == "squash":
            return plane.resize(size, how)
        padding = self.padding or (0,) * self.channels
        color = padding[:3] if plane.mode == "RGB" else padding[channel]
        return ImageOps.pad(plane, size, how, color=color)


def _sides(size: tuple[int, int], resize: int, fit: Fit) -> tuple[int, int]:
    if fit == "squash":
        return resize, resize
    short = min(size)
    width, height = (resize if side == short else int(resize * side / short) for side in size)
    return width, height


def _cut(plane: Image.Image, sides: tuple[int, int], size: int, how: Image.Resampling) -> Image.Image:
    """Scale, then cut out the center; the same pixels as torchvision's Resize and CenterCrop."""
    left, top = (round((side - size) / 2) for side in sides)
    return plane.resize(sides, how).crop((left, top, left + size, top + size))


def to_8_bits(samples: NDArray[Any], values: Range) -> NDArray[np.uint8]:
    """Divide a range of values into 256 equal parts; values outside it get the first or the last part.

    For the whole range of 16 bits the result is their upper 8 bits; for 0 to 4095, the upper 8 of 12 bits.

    Args:
        samples: array of any shape and type; NaN counts as the lowest value.
        values: lowest and highest value of the range.
    """
    if samples.dtype.kind in "iu" and samples.dtype.itemsize <= 2:
        scaled: NDArray[np.uint8] = _table(samples.dtype.name, values)[samples.view(f"u{samples.dtype.itemsize}")]
        return scaled
    return _scaled(samples.astype(np.float64), values, samples.dtype.kind in "iu")


@lru_cache(maxsize=16)
def _table(name: str, values: Range) -> NDArray[np.uint8]:
    """Return the table from each bit pattern of a short integer to 8 bits."""
    dtype = np.dtype(name)
    patterns = np.arange(256**dtype.itemsize, dtype=f"u{dtype.itemsize}")
    return _scaled(patterns.view(dtype).astype(np.float64), values, True)


def _scaled(numbers: NDArray[np.float64], values: Range, whole: bool) -> NDArray[np.uint8]:
    low, high = values
    numbers = np.nan_to_num(numbers, nan=low, posinf=high, neginf=low)
    scaled = np.floor((numbers.clip(low, high) - low) * (256 / (high - low + whole)))
    return scaled.clip(0, 255).astype(np.uint8)


def as_raw(source: str | BinaryIO, size: int) -> Raw:
    """Return the samples of an 8-bit file, including its transparency."""
    with Image.open(source, formats=formats()) as file:
        file.draft("RGB", (size, size))
        image = ImageOps.exif_transpose(file)
        if image.mode in ("P", "PA") or "transparency" in image.info:
            image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
        pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
        return Raw(pixels if pixels.ndim == 3 else pixels[:, :, None])


def _open_8_bits(
    source: str | BinaryIO, size: int, mode: Literal["L", "RGB"], background: tuple[int, ...] | None
) -> Image.Image:
    with Image.open(source, formats=formats()) as file:
        file.draft(mode, (size, size))  # JPEG can be decoded at half or a quarter of its size
        image = ImageOps.exif_transpose(file)
        see_through = image.has_transparency_data and file.format != "TIFF"
        if "transparency" in image.info:
            image = image.convert("RGBA")
        if see_through and background is not None:
            behind = Image.new("RGBA", image.size, (*background, 255))
            image = Image.alpha_composite(behind, image.convert("RGBA"))
        return image.convert(mode)
