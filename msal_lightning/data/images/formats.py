"""File formats of images."""

from functools import cache
from importlib.util import find_spec

from PIL import Image, UnidentifiedImageError

FORMER_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
"""Extensions that earlier versions read."""
_PILLOW = """
.apng .avif .avifs .bw .dcx .dds .dib .fit .fits .flc .fli .ftc .ftu .gif .icb .icns .ico .im .j2c .j2k .jfif .jp2 .jpc
.jpe .jpf .jpx .mpo .msp .pbm .pcx .pfm .pnm .psd .pxr .qoi .ras .rgb .rgba .sgi .tga .vda .vst .xbm .xpm
"""
"""Extensions that Pillow decodes without another program; films are left out."""
HEIF_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
_TOLD_BY_CONTENT = ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "AVIF", "JPEG2000", "PPM", "PSD", "DDS", "ICO", "HEIF")
_REFUSED = {"EPS", "WMF", "PDF", "MPEG", "BUFR", "GRIB", "HDF5"}  # EPS starts Ghostscript; Pillow decodes no other


UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""Exceptions of Pillow's readers."""


@cache
def suffixes() -> frozenset[str]:
    """Extensions of images: a build of Pillow may lack a format."""
    return FORMER_SUFFIXES | (set(_PILLOW.split()) & Image.registered_extensions().keys())


@cache
def can_read_heif() -> bool:
    """Return whether the extra ``heif`` is installed, and register it with Pillow."""
    if find_spec("pillow_heif") is None:
        return False
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return True


@cache
def formats() -> tuple[str, ...]:
    """Return the names of the formats that images may have, regardless of their extension."""
    can_read_heif()
    Image.init()
    return tuple(name for name in Image.ID if name not in _REFUSED)


def looks_like(path: str) -> bool:
    """Return whether the content of a file without an extension begins like an image."""
    known = [name for name in formats() if name in _TOLD_BY_CONTENT]
    try:
        with Image.open(path, formats=known):
            return True
    except UnidentifiedImageError:
        return False
    except UNREADABLE:  # of a format, but damaged: on_error decides
        return True
