"""Find the range of values in a folder's files; its ends become black and white."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from msal_lightning.data.images.decoding import ANY, Range, as_raw
from msal_lightning.data.images.formats import UNREADABLE, formats
from msal_lightning.data.images.image_files import in_threads
from msal_lightning.data.images.raw_pixels import Raw, read_raw
from msal_lightning.errors import DataError

SAMPLE = 256
"""Number of files of each extension in a sample for a range or a mean."""
FORMER_RANGES: dict[str, Range] = dict.fromkeys(("uint16", "int16", "uint32", "int32"), (0.0, 65535.0))
"""Ranges of runs from versions that did not store ranges."""
_ANIMATED = (".gif", ".tif", ".tiff", ".webp", ".png", ".apng", ".avif", ".mpo")
_SEED = 20260101  # not the run's seed, so that all runs sample the same files
_PIXELS = 4096  # sampled from each file for quantiles


class Pixels(NamedTuple):
    """A sample of one file's values, and the extremes of all its values."""

    dtype: np.dtype[Any]
    some: NDArray[np.float64]
    low: float
    high: float


def draw_sample(paths: Sequence[str]) -> list[str]:
    """Draw a sample of files, the same each time: at most :data:`SAMPLE` of each extension."""
    by_kind = defaultdict[str, list[str]](list)
    for path in paths:
        by_kind[Path(path).suffix.lower()].append(path)
    generator = torch.Generator().manual_seed(_SEED)
    drawn = []
    for kind in sorted(by_kind):
        rows = torch.randperm(len(by_kind[kind]), generator=generator)[:SAMPLE].sort().values.tolist()
        drawn += [by_kind[kind][row] for row in rows]
    return drawn


def look_at(paths: Sequence[str], bands: Sequence[int] | None) -> dict[str, list[Pixels]]:
    """Return some values of each file with more than 8 bits, by dtype; files that cannot be read are skipped.

    Args:
        paths: paths of the files.
        bands: bands to read, from 1; None for all.
    """

    def one(path: str) -> Pixels | None:
        try:
            raw = read_raw(path, all_bands=bands is not None)
        except UNREADABLE:
            return None
        return None if raw is None else _look(raw, bands)

    found = defaultdict[str, list[Pixels]](list)
    for pixels in in_threads(one, paths, len(paths), "looking at the values"):
        if pixels is not None:
            found[pixels.dtype.name].append(pixels)
    return {name: found[name] for name in sorted(found)}


def share_outside(found: dict[str, list[Pixels]], values: Range) -> float:
    """Return the share of sampled values that lie outside a range."""
    numbers = np.concatenate([file.some for files in found.values() for file in files])
    return float(((numbers < values[0]) | (numbers > values[1])).mean())


def count_bands(paths: Sequence[str]) -> int:
    """Return the number of bands of the first file that can be read.

    Raises:
        DataError: no file can be read.
    """
    for path in paths:
        try:
            return int((read_raw(path, all_bands=True) or as_raw(path, 64)).samples.shape[2])
        except UNREADABLE:
            continue
    raise DataError("expected an image that can be read, to count its bands, found none: name the bands in data.bands")


def count_animated(paths: Sequence[str]) -> int:
    """Count the files with several frames or pages; only the first one is read."""
    count = 0
    for path in paths:
        if Path(path).suffix.lower() in _ANIMATED:
            with suppress(*UNREADABLE), Image.open(path, formats=formats()) as file:
                count += bool(getattr(file, "is_animated", False))
    return count


def _look(raw: Raw, bands: Sequence[int] | None) -> Pixels | None:
    samples = raw.samples
    if samples.dtype.name in ("uint8", "bool"):
        return None
    if bands is not None:
        samples = samples[:, :, [band - 1 for band in bands if band <= samples.shape[2]]]
    elif raw.num_alpha:
        samples = samples[:, :, : -raw.num_alpha]
    values = samples.reshape(-1)
    if raw.nodata is not None:
        values = values[values != np.asarray(raw.nodata).astype(values.dtype)]
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not len(values):
        return None
    step = max(1, len(values) // _PIXELS) | 1  # odd, so that it does not always fall on the same columns
    some = values[::step].astype(np.float64)
    return Pixels(samples.dtype, some, float(values.min()), float(values.max()))


def range_of(files: Sequence[Pixels]) -> Range:
    """Return the range of all values, without outliers; for integers, the range of the bits that they use.

    An end of the range is the extreme value, unless the extreme lies farther beyond its quantile (0.1 or 99.9 percent)
    than the quantiles lie apart; then it is the quantile. Otherwise a hot pixel or a burnt-in mark would take the grey
    levels of all other pixels.
    """
    dtype = files[0].dtype
    low, high = min(file.low for file in files), max(file.high for file in files)
    inner_low, inner_high = np.quantile(np.concatenate([file.some for file in files]), (0.001, 0.999)).tolist()
    if (span := inner_high - inner_low) > 0:
        low = low if low >= inner_low - span else inner_low
        high = high if high <= inner_high + span else inner_high
    if dtype.kind == "f":
        return (low, high) if high > low else (low, low + 1.0)
    info = np.iinfo(dtype)
    low, high = float(np.floor(low)), float(np.ceil(high))
    if inner_high - inner_low >= (info.max - info.min) / 2:
        return float(info.min), float(info.max)
    if low >= 0 and low <= high / 2:
        return 0.0, float(2 ** max(1, int(high).bit_length()) - 1)
    return (low, high) if high > low else (low, low + 1.0)


def say_ranges(ranges: dict[str, Range], num_sampled: int | None, num_files: int) -> str:
    """``value range 0 to 4095 of uint16 (from 256 of 3,000 files)``; empty if all files have 8 bits."""
    if not ranges:
        return ""
    shown = ", ".join(
        f"{_short(low)} to {_short(high)}" + ("" if name == ANY else f" of {name}")
        for name, (low, high) in ranges.items()
    )
    source = f"from {num_sampled:,} of {num_files:,} files" if num_sampled else "as recorded"
    if ANY in ranges:
        source = "data.value_range"
    return f"value range {shown} ({source})"


def _short(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.4g}"
