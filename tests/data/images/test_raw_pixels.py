"""Samples of deep files, against Pillow where it can read them."""

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from msal_lightning.data.images.raw_pixels import read_raw


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_file_is_turned_upright_as_pillow_turns_a_shallow_one(tmp_path, orientation):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    shallow = Image.fromarray(pixels)
    shallow.getexif()[274] = orientation
    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "deep.tif", pixels.astype(np.uint16) * 1000, extratags=[tag])
    upright = np.asarray(ImageOps.exif_transpose(shallow))
    assert np.array_equal(read_raw(str(tmp_path / "deep.tif")).samples[:, :, 0], upright.astype(np.uint16) * 1000)
