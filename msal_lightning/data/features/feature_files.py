"""Rows of features in files, read when they are needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.errors import DataError

SUFFIXES = (".npy", ".parquet", ".h5")
TYPES = (np.dtype(np.float16), np.dtype(np.float32))


class FeatureFile(Protocol):
    """One file of features."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""

    @property
    def dtype(self) -> "np.dtype[Any]":
        """float16 or float32."""

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at (n,) ascending numbers, none twice: (n, D)."""


class ParquetFeatures:
    """The fixed-size list column ``features`` of a Parquet file; the row group that was read last stays in memory.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise _missing(path, "pyarrow", "parquet") from None
        self._file = parquet.ParquetFile(path, memory_map=True)
        kind = self._file.schema_arrow.field("features").type
        groups = [self._file.metadata.row_group(k).num_rows for k in range(self._file.num_row_groups)]
        self._starts = np.cumsum([0, *groups])
        self.shape = (int(self._starts[-1]), kind.list_size)
        self.dtype = np.dtype(kind.value_type.to_pandas_dtype())
        self._group: tuple[int, NDArray[Any]] = (-1, np.empty(0))

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        group = np.searchsorted(self._starts, rows, side="right") - 1
        parts = [self._read(k)[rows[group == k] - self._starts[k]] for k in np.unique(group).tolist()]
        return np.concatenate(parts) if parts else np.empty((0, self.shape[1]), self.dtype)

    def _read(self, k: int) -> NDArray[Any]:
        if self._group[0] != k:
            column = self._file.read_row_group(k, columns=["features"])["features"].combine_chunks()
            self._group = k, column.flatten().to_numpy(zero_copy_only=False).reshape(-1, self.shape[1])
        return self._group[1]


def open_features(path: Path) -> FeatureFile:
    """Open a file of features without reading its rows.

    Args:
        path: an array in NumPy's format, a Parquet file with the fixed-size list column ``features``, or an HDF5 file
            with the dataset ``features``.

    Raises:
        DataError: the file is damaged, or its features are no rows of float16 or float32.
    """
    try:
        found = _open(path)
    except (OSError, ValueError, KeyError, EOFError, AttributeError) as error:
        raise DataError(f"cannot read the features in '{path}' ({error}): write the file again") from None
    if len(found.shape) != 2 or found.dtype not in TYPES:
        raise DataError(
            f"expected '{path}' to have rows of features, (N, D) float16 or float32, got {found.shape} {found.dtype}: "
            "write it again, with astype('float16') for example"
        )
    if not all(found.shape):
        raise DataError(f"expected features in '{path}', got {found.shape}: remove the empty file")
    return found


def _open(path: Path) -> FeatureFile:
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="c", allow_pickle=False)  # type: ignore[no-any-return] # c: torch wants it writable
    if path.suffix == ".parquet":
        return ParquetFeatures(path)
    try:
        import h5py
    except ImportError:
        raise _missing(path, "h5py", "hdf5") from None
    return h5py.File(path, "r")["features"]  # type: ignore[no-any-return]


def _missing(path: Path, package: str, extra: str) -> DataError:
    return DataError(
        f"'{path.name}' needs {package}, which is not installed: run "
        f"`python -m pip install 'msal_lightning[{extra}]'`, or save the features as .npy"
    )


class FeatureRows:
    """Rows of several files, in a shape like that of images with one pixel: (N, D, 1, 1).

    Args:
        files: the files in order; all have the same D and type.
        rows: (N,) ascending numbers of the rows that belong here; None: all.
    """

    def __init__(self, files: Sequence[FeatureFile], rows: NDArray[np.int64] | None = None) -> None:
        self._files = files
        self._rows = rows
        self._starts = np.cumsum([0, *(file.shape[0] for file in files)])
        count = int(self._starts[-1]) if rows is None else len(rows)
        self.shape = (count, files[0].shape[1], 1, 1)
        self.dtype = torch.float16 if files[0].dtype == TYPES[0] else torch.float32

    @property
    def are_mapped(self) -> bool:
        """Whether any rows can be read alone, because all files are mapped."""
        return all(isinstance(file, np.memmap) for file in self._files)

    def numbers(self, index: Tensor) -> list[int]:
        """The rows of the files, counted from 0 over all of them, at (n,) int64 indices."""
        rows: list[int] = (index.numpy() if self._rows is None else self._rows[index.numpy()]).tolist()
        return rows

    def __getitem__(self, index: Tensor) -> Tensor:
        """The features at (B,) int64 indices: (B, D, 1, 1)."""
        rows = index.numpy() if self._rows is None else self._rows[index.numpy()]
        if len(rows) < 2 or bool((rows[1:] > rows[:-1]).all()):
            return self._read(rows)
        ascending, back = np.unique(rows, return_inverse=True)
        return self._read(ascending)[torch.from_numpy(back)]

    def _read(self, rows: NDArray[np.int64]) -> Tensor:
        cuts = np.searchsorted(rows, self._starts)
        parts = [
            _take(file, rows[first:last] - start)
            for file, start, first, last in zip(self._files, self._starts, cuts, cuts[1:], strict=False)
            if last > first
        ]
        if not parts:
            return torch.empty((0, *self.shape[1:]), dtype=self.dtype)
        return (parts[0] if len(parts) == 1 else torch.cat(parts))[:, :, None, None]


def _take(file: FeatureFile, rows: NDArray[np.int64]) -> Tensor:
    if isinstance(file, np.memmap):
        if rows[-1] - rows[0] + 1 == len(rows):  # one run of rows: no copy
            return torch.from_numpy(file[rows[0] : rows[-1] + 1])
        return torch.from_numpy(file).index_select(0, torch.from_numpy(rows))
    return torch.from_numpy(np.ascontiguousarray(file[rows]))
