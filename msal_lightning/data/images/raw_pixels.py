"""Read samples of image files unchanged, where Pillow would reduce them to 8 bits or to three bands."""

import math
import re
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from msal_lightning.data.images.formats import formats

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SHALLOW = (
    b"\xff\xd8\xff",
    b"GIF8",
    b"BM",
    b"RIFF",
)  # JPEG, GIF, BMP, WebP: 8 bits, without further bands except transparency
_PPM = (b"P3", b"P6")  # colours as text or as bytes
_ALPHA = {1, 2, 999}  # values of ExtraSamples for transparency: associated, unassociated, and Corel's own
_NODATA = 42113  # GDAL's tag
_COLOURS = {2: 3, 5: 4, 6: 3, 8: 3}  # samples of RGB, CMYK, YCbCr, Lab; grey and palettes have 1


class Raw(NamedTuple):
    """The first frame or page of an image file, upright.

    Attributes:
        samples: (H, W, S), of any integer or floating type.
        num_alpha: number of samples at the end that are transparency.
        nodata: value of pixels without a measurement; None if the file names none.
        see_through: whether the last sample is how opaque a pixel of a picture is.
    """

    samples: NDArray[Any]
    num_alpha: int = 0
    nodata: float | None = None
    see_through: bool = False


def read_raw(source: str | BinaryIO, all_bands: bool = False) -> Raw | None:
    """Read a file with more than 8 bits a sample, or with other bands than grey, colour and transparency.

    Args:
        source: path or open file.
        all_bands: also read TIFF files with four 8-bit samples, whatever the file calls them; if each page has one
            sample, the pages are bands.

    Returns:
        None for any other file, because Pillow reads it without loss.

    Raises:
        OSError: the file is damaged, or of a kind that cannot be read; also ValueError or SyntaxError.
    """
    head = _head(source)
    if head.startswith(_SHALLOW):
        return None
    if head.startswith(_TIFF):
        return _read_tiff(source, all_bands)
    if head.startswith(b"\x89PNG"):
        if len(head) < 26 or head[24] != 16:
            return None
        if head[25] != 0:  # Pillow keeps the upper 8 bits of each colour
            return _read_png(source)
    if head.startswith(_PPM):
        return _read_ppm(source)
    return _read_with_pillow(source)


def _head(source: str | BinaryIO) -> bytes:
    if isinstance(source, str):
        with Path(source).open("rb") as file:
            return file.read(32)
    source.seek(0)
    head = source.read(32)
    source.seek(0)
    return head


def _read_with_pillow(source: str | BinaryIO, dtype: Any = None) -> Raw | None:
    with Image.open(source, formats=formats()) as file:
        if not file.mode.startswith(("I", "F")):
            return None
        image = ImageOps.exif_transpose(file)
        if dtype is None:
            # a PNG or PGM of 16 bits has the mode I in Pillow 10
            is_short = image.mode.startswith("I;16") or file.format in ("PNG", "PPM", "JPEG2000")
            dtype = np.float32 if image.mode == "F" else np.uint16 if is_short else np.int32
        return Raw(np.asarray(image).astype(dtype)[:, :, None])


def _read_png(source: str | BinaryIO) -> Raw:
    """Read 16-bit colours in two passes, because Pillow unpacks only one byte of each sample."""
    with Image.open(source, formats=formats()) as file:
        layout = str(file.tile[0].args)
    if layout == "LA;16B":  # four bytes a pixel, as RGBA has
        four = _unpack(source, "RGBA").astype(np.uint16)
        return Raw(four[:, :, ::2] << 8 | four[:, :, 1::2], num_alpha=1, see_through=True)
    upper, lower = (_unpack(source, layout[:-1] + byte).astype(np.uint16) for byte in "BL")
    has_alpha = layout.startswith("RGBA")
    return Raw(upper << 8 | lower, num_alpha=int(has_alpha), see_through=has_alpha)


def _unpack(source: str | BinaryIO, layout: str) -> NDArray[np.uint8]:
    if not isinstance(source, str):
        source.seek(0)
    with Image.open(source, formats=formats()) as file:
        file.tile = [tile._replace(args=layout) for tile in file.tile]
        return np.asarray(ImageOps.exif_transpose(file))


def _read_ppm(source: str | BinaryIO) -> Raw | None:
    """Read colours of more than 8 bits after the header, because Pillow would scale them down to 8 bits."""
    with Image.open(source, formats=("PPM",)) as file:
        tile, shape = file.tile[0], (file.height, file.width, 3)
        highest = tile.args[1] if isinstance(tile.args, tuple) else 255
        if highest <= 255:
            return None
        assert file.fp is not None
        file.fp.seek(tile.offset)
        content = file.fp.read()
    if tile.codec_name == "ppm_plain":
        values = [int(word) for word in re.sub(rb"#[^\r\n]*", b"", content).split()[: math.prod(shape)]]
        if not all(0 <= value <= highest for value in values):
            raise ValueError(f"it has values above {highest}, the maximum in its header")
        samples = np.array(values, np.uint16)
    else:
        samples = np.frombuffer(content, ">u2", math.prod(shape)).astype(np.uint16)
    return Raw(samples.reshape(shape))


def _read_tiff(source: str | BinaryIO, all_bands: bool) -> Raw | None:
    import tifffile  # on demand: most folders have no TIFF files

    try:
        with tifffile.TiffFile(source) as file:
            page: Any = file.pages[0]
            stacked = all_bands and page.samplesperpixel == 1 and len(file.pages) > 1
            if not stacked and _is_plain(page, all_bands):
                return None
            pages = [page, *file.pages[1:]] if stacked else [page]
            _check_size(pages)
            samples = np.concatenate([_samples(part) for part in pages], axis=2)
            if samples.dtype.kind not in "iufb":
                raise ValueError(f"its pixels are of type {samples.dtype}")
            orientation = page.tags.valueof(274, 1)
            alpha = 0 if stacked else sum(int(extra) in _ALPHA for extra in page.extrasamples[-1:])
            return Raw(_upright(samples, orientation), alpha, _nodata(page.tags.valueof(_NODATA)))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a decoder may raise anything for a damaged file
        if "imagecodecs" in str(error):
            return _without_codec(source, page)
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
    finally:
        if not isinstance(source, str):
            source.seek(0)


def _is_plain(page: Any, all_bands: bool) -> bool:
    """Return whether Pillow reads the whole file: 8 bits, and only grey, colour and transparency."""
    if page.bitspersample > 8 or page.sampleformat not in (1, 4):
        return False
    extra = [int(kind) for kind in page.extrasamples]
    beside = page.samplesperpixel - _COLOURS.get(page.photometric, 1)
    if beside > 0 and all_bands:
        return False
    return beside <= 0 or (beside == 1 and extra[-1:] != [] and extra[-1] in _ALPHA)


def _samples(page: Any) -> NDArray[Any]:
    pixels: NDArray[Any] = page.asarray()
    if page.axes == "YX":
        pixels = pixels[:, :, None]
    elif page.axes == "SYX":
        pixels = pixels.transpose(1, 2, 0)
    elif page.axes != "YXS":
        raise ValueError(f"its dimensions are {page.axes}")
    if page.photometric == 0 and pixels.dtype.kind == "u":  # white is 0
        pixels = (2**page.bitspersample - 1) - pixels
    return pixels.astype(pixels.dtype.newbyteorder("="))


def _check_size(pages: list[Any]) -> None:
    limit = 2 * (Image.MAX_IMAGE_PIXELS or math.inf)
    for page in pages:
        if page.imagewidth * page.imagelength * max(1, page.samplesperpixel // 4) > limit:
            raise ValueError(f"it has {page.imagewidth} × {page.imagelength} pixels, which could be an attack")
        if (page.imagewidth, page.imagelength) != (pages[0].imagewidth, pages[0].imagelength):
            raise ValueError("its pages have different sizes, so they cannot be bands")


def _without_codec(source: str | BinaryIO, page: Any) -> Raw | None:
    """Read a file of one sample with Pillow, which knows most compressions."""
    if page.samplesperpixel == 1:
        return _read_with_pillow(source, page.dtype)
    raise ValueError(
        f"its compression {page.compression.name} needs the extra tiff (pip install 'msal_lightning[tiff]')"
    )


def _nodata(text: Any) -> float | None:
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None


def _upright(samples: NDArray[Any], orientation: Any) -> NDArray[Any]:
    """Undo the orientation of Exif, as :func:`PIL.ImageOps.exif_transpose` does."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return samples
