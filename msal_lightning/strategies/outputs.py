"""The model outputs that a strategy sees."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from msal_lightning.data.label_guard import LabelAccessError
from msal_lightning.errors import DataError
from msal_lightning.strategies.rows import Rows

OUTPUTS = frozenset({"logits", "embeddings", "mc_logits"})
"""Names that a strategy may list in ``needs``: fields of :class:`PoolOutputs` that the model provides."""


@dataclass(frozen=True)
class PoolOutputs:
    """The model's outputs for N images; outputs that the strategy does not need are None.

    All are tensors on the CPU, except those that the strategy can read on any device (``Strategy.on_device``), and
    embeddings that it can read from a file (``Strategy.embeddings_by_rows``).

    Attributes:
        index: (N,) int64, dataset-absolute.
        score: (N,) float32, higher = query first.
        logits: (N, C) float32.
        embeddings: (N, D) float32, the input of the dropout before the head.
        mc_logits: (T, N, C) float32, of T passes with dropout on.
        condensed: (N, K) float64, what :meth:`Strategy.condense` keeps of other outputs.
        labels: (N,) int64, labels of the labeled set for a strategy with ``needs_labels``; the pool has none.
        groups: (N,) int64, numbers of the groups of ``data.group``, for a strategy with ``needs_groups``.
        num_classes: C; by default that of the logits, otherwise None.
        head: the model's head, from embeddings (M, D) to logits (M, C) on the CPU, for a strategy with ``needs_head``.
    """

    index: Tensor
    score: Tensor | None = None
    logits: Tensor | None = None
    embeddings: Tensor | Rows | None = None
    mc_logits: Tensor | None = None
    condensed: Tensor | None = None
    labels: Tensor | None = None
    groups: Tensor | None = None
    num_classes: int | None = None
    head: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        logits = self.mc_logits if self.logits is None else self.logits
        if self.num_classes is None and logits is not None:
            object.__setattr__(self, "num_classes", logits.shape[-1])

    def __len__(self) -> int:
        return len(self.index)

    @property
    def num_bytes(self) -> int:
        """Memory of all fields, in bytes."""
        return sum(value.nbytes for value in self._columns(lambda _, value: value).values())

    def rows(self, rows: Tensor) -> Self:
        """Return the given rows, in the given order.

        Args:
            rows: (M,) int64, or (N,) bool.
        """
        return replace(self, **self._columns(lambda name, value: value[:, rows] if row_axis(name) else value[rows]))

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """Concatenate parts that have the same fields."""
        if len(parts) == 1:
            return parts[0]
        return replace(
            parts[0],
            **parts[0]._columns(
                lambda name, _: torch.cat([part.require(name) for part in parts], dim=row_axis(name)),
            ),
        )

    def _columns(self, change: Callable[[str, Tensor], Tensor]) -> dict[str, Any]:
        filled = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("num_classes", "head")}
        return {name: change(name, value) for name, value in filled.items() if value is not None}

    def probabilities(self) -> Tensor:
        """Return the softmax of the logits, (N, C) float32."""
        return self.require("logits").float().softmax(dim=-1)

    def mc_probabilities(self) -> Tensor:
        """Return the softmax of each dropout pass, (T, N, C) float32; their mean over passes is a distribution again.

        A mean of the logits would hide disagreement between passes.
        """
        return self.require("mc_logits").float().softmax(dim=-1)

    def require(self, name: str) -> Tensor:
        """Return an output that the strategy declared.

        Args:
            name: name of a field, for example ``logits``.

        Raises:
            LookupError: the output was not computed, because the strategy's ``needs`` does not name it.
            LabelAccessError: there are no labels, because these rows are the pool, or ``needs_labels`` is False.
        """
        value: Tensor | Rows | None = getattr(self, name)
        if value is None and name == "labels":
            raise LabelAccessError(
                "these rows have no labels: a strategy sees labels of the labeled set only, with needs_labels = True"
            )
        if value is None:
            raise LookupError(f"{name} were not computed: add {name!r} to the strategy's needs")
        if not isinstance(value, Tensor):
            raise LookupError(
                f"{name} are in a file: read them with embedding_rows(), or leave embeddings_by_rows False"
            )
        return value

    def embedding_rows(self) -> Rows:
        """Return the embeddings of a strategy with ``embeddings_by_rows``: a tensor, or rows of a file.

        Raises:
            LookupError: they were not computed.
        """
        return self.require("embeddings") if self.embeddings is None else self.embeddings

    def require_num_classes(self) -> int:
        """Return C.

        Raises:
            DataError: it is unknown, because arrays came without logits.
        """
        if self.num_classes is None:
            raise DataError("expected num_classes, the number of classes, got none: pass num_classes=10, for example")
        return self.num_classes

    def require_head(self) -> Callable[[Tensor], Tensor]:
        """Return the head.

        Raises:
            LookupError: the strategy does not declare ``needs_head``.
        """
        if self.head is None:
            raise LookupError("the head is not here: set needs_head = True in the strategy")
        return self.head


def row_axis(name: str) -> int:
    """Return the axis of an output that counts images."""
    return 1 if name == "mc_logits" else 0
