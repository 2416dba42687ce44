"""Rows of an array: read when they are needed, checked, in float32."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from msal_lightning.errors import DataError
from msal_lightning.io.wording import first_few

Array = NDArray[Any] | Tensor

_SUM_ERROR = 0.01  # of probabilities and logits in half precision
_TINY = torch.finfo(torch.float32).tiny


class ArrayRows:
    """Rows of a numpy array, maybe memory-mapped, or of a tensor on any device.

    Args:
        name: name of the argument, for errors.
        array: numbers of any real type.

    Attributes:
        axis: the axis that counts rows.

    Raises:
        DataError: the array has another number of axes, or no real numbers.
    """

    axis: ClassVar[int] = 0
    shape_text: ClassVar[str] = "(N, D)"

    def __init__(self, name: str, array: Any) -> None:
        self.name = name
        self.array = as_array(array)
        num_axes = self.shape_text.count(",") + 1
        if self.array.ndim != num_axes or not _is_real(self.array) or not all(self.array.shape):
            raise DataError(
                f"expected {name} to be an array of real numbers, {self.shape_text}, got {_dtype(self.array)} "
                f"{tuple(self.array.shape)}"
            )

    @property
    def shape(self) -> Sequence[int]:
        """Shape of the array."""
        return self.array.shape

    @property
    def device(self) -> torch.device:
        """Device of the rows that are read."""
        return self.array.device if isinstance(self.array, Tensor) else torch.device("cpu")

    def __len__(self) -> int:
        return int(self.array.shape[self.axis])

    @property
    def bytes_per_row(self) -> int:
        """Memory of a row in float32."""
        return 4 * int(np.prod(self.array.shape)) // len(self)

    def at(self, rows: Tensor) -> Tensor:
        """Read rows.

        Args:
            rows: (M,) int64, on the CPU.

        Returns:
            The rows in float32, on the device of the array; a copy.

        Raises:
            DataError: a row has NaN or infinity, or is not what the argument promises.
        """
        block = self._read(rows).float()
        if block.numel() and not torch.stack(block.aminmax()).isfinite().all():
            self.refuse(
                rows, ~block.isfinite(), "finite numbers", "remove them, or mark them as labeled", "NaN or infinity"
            )
        return self.prepared(block, rows)

    def prepared(self, block: Tensor, rows: Tensor) -> Tensor:
        """Return rows as strategies expect them.

        Args:
            block: finite rows.
            rows: their numbers, for errors.
        """
        return block

    def refuse(self, rows: Tensor, is_wrong: Tensor, expected: str, remedy: str, got: str = "others") -> None:
        """Raise an error that names the wrong rows, if there are any.

        Args:
            rows: (M,) int64.
            is_wrong: (..., M, ...) bool, along the axis of rows.
            expected: the values that were expected.
            remedy: end of the sentence.
            got: the values that were found.

        Raises:
            DataError: a row is wrong.
        """
        wrong = is_wrong.movedim(self.axis, 0).reshape(len(rows), -1).any(dim=1).cpu()
        if wrong.any():
            raise DataError(
                f"expected {expected} in {self.name}, got {got} in row {first_few(rows[wrong].tolist())} (counted "
                f"from 0): {remedy}"
            )

    def _read(self, rows: Tensor) -> Tensor:
        if isinstance(self.array, Tensor):
            return self.array.index_select(self.axis, rows.to(self.array.device))
        block = np.take(self.array, rows.numpy(), axis=self.axis)
        return torch.from_numpy(block.astype(block.dtype.newbyteorder("="), copy=False))


class StandardizedRows(ArrayRows):
    """Features minus their mean, divided by their standard deviation: computed when they are read.

    So features in a file need no second copy in float32. ``numpy.asarray`` computes all of them.

    Args:
        array: (N, D) features.
        mean: (D,) float32.
        scale: (D,) float32.
    """

    def __init__(self, array: Any, mean: Tensor, scale: Tensor) -> None:
        super().__init__("features", array)
        self._mean, self._scale = mean, scale

    def prepared(self, block: Tensor, rows: Tensor) -> Tensor:  # noqa: D102
        return block.sub_(self._mean).div_(self._scale)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.at(torch.arange(len(self))).numpy().astype(dtype or np.float32, copy=False)


class Logits(ArrayRows):
    """Logits of any classifier."""

    shape_text = "(N, C)"

    def __init__(self, name: str, array: Any) -> None:
        super().__init__(name, array)
        if self.array.shape[-1] < 2:
            raise DataError(
                f"expected {name} of at least two classes, {self.shape_text}, got {tuple(self.array.shape)}: one "
                "column a class"
            )


class PrototypeLogits(Logits):
    """Logits of a prototype head: each row adds up to 0, because the prototypes do."""

    def prepared(self, block: Tensor, rows: Tensor) -> Tensor:  # noqa: D102
        self.refuse(
            rows,
            block.sum(dim=1).abs() > _SUM_ERROR * block.abs().sum(dim=1),
            "the logits of a prototype head, which add up to 0 in each row,",
            "take those of MSALHeadClassifier().outputs(X), or another strategy",
        )
        return block


class PassLogits(Logits):
    """Logits of T passes with dropout."""

    axis = 1
    shape_text = "(T, N, C)"

    def __init__(self, name: str, array: Any) -> None:
        super().__init__(name, array)
        if len(self.array) < 2:
            raise DataError(f"expected {name} of at least two passes, {self.shape_text}, got 1: 10 is usual")


def _as_logits(values: ArrayRows, block: Tensor, rows: Tensor) -> Tensor:
    """Turn probabilities into logits with the same softmax."""
    wrong = ((block.sum(dim=-1) - 1).abs() > _SUM_ERROR) | (block.amin(dim=-1) < 0)
    values.refuse(rows, wrong, "probabilities, which are at least 0 and add up to 1,", "pass logits instead")
    return block.clamp_min_(_TINY).log_()


class Probabilities(Logits):
    """Probabilities instead of logits."""

    def prepared(self, block: Tensor, rows: Tensor) -> Tensor:  # noqa: D102
        return _as_logits(self, block, rows)


class PassProbabilities(PassLogits):
    """Probabilities of T passes instead of logits."""

    def prepared(self, block: Tensor, rows: Tensor) -> Tensor:  # noqa: D102
        return _as_logits(self, block, rows)


def as_array(value: Any) -> Array:
    """Return a tensor without its gradient, or anything else as a numpy array without copying one."""
    return value.detach() if isinstance(value, Tensor) else np.asarray(value)


def _is_real(array: Array) -> bool:
    return not array.is_complex() if isinstance(array, Tensor) else array.dtype.kind in "fiub" and array.itemsize <= 8


def _dtype(array: Array) -> str:
    return str(array.dtype).removeprefix("torch.")
