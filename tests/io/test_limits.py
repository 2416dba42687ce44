"""Packed files and records that are more than they look."""

import gzip
import json
import struct
import zipfile

import numpy as np
import pytest

from msal_lightning.io.archives import check_zip, read_idx
from msal_lightning.io.json_files import read_json
from msal_lightning.io.typed import check_types
from msal_lightning.runs.records import LabeledImages


def idx(*shape, data=b""):
    return b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


@pytest.mark.parametrize("packed", [True, False])
def test_an_idx_file_is_what_its_header_says(packed, tmp_path):
    file = tmp_path / ("x.gz" if packed else "x")
    write = gzip.compress if packed else bytes
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    file.write_bytes(write(idx(2, 3, 4, data=array.tobytes())))
    assert np.array_equal(read_idx(file), array)
    for bad in (
        idx(2**31, 2**31, 4),  # promises more than any file holds
        idx(2, 3, 4, data=bytes(10**7)),  # goes on
        idx(2, 3, 4, data=bytes(23)),
        idx(*[1] * 200, data=b"x"),
        b"\0\0\x08",
        b"",
    ):
        file.write_bytes(write(bad))
        with pytest.raises(ValueError, match=r"IDX|bytes"):
            read_idx(file)


def test_an_archive_that_unpacks_to_much_more(tmp_path):
    file = tmp_path / "x.npz"
    np.savez(file, index=np.zeros(10**6))
    check_zip(file)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.npy", bytes(10**7))
    with pytest.raises(ValueError, match="would unpack"):
        check_zip(file)


def test_a_deep_record(tmp_path):
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="levels"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text(json.dumps({"a": [1]}))
    assert read_json(tmp_path / "x.json") == {"a": [1]}


@pytest.mark.parametrize(
    "bad",
    [
        LabeledImages(["a"], [1]),
        LabeledImages([1], [True]),
        LabeledImages([1], [2**64]),
        LabeledImages([1], [1], ["x"]),
        LabeledImages(1),
    ],
)
def test_fields_of_another_type(bad):
    with pytest.raises(TypeError, match="another type"):
        check_types(bad)
    check_types(LabeledImages([1], [2], [0.5, float("nan"), 1], ["x"]))
