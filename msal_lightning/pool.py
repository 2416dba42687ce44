"""What a strategy sees of the pool."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

OUTPUTS = frozenset({"logits", "embeddings"})
"""What a strategy may name in ``needs``: the model's outputs that are fields of :class:`PoolOutputs`."""


@dataclass(frozen=True)
class PoolOutputs:
    """The model's outputs for N images; what the strategy did not ask for is None.

    Attributes:
        index: (N,) int64, dataset-absolute.
        score: (N,) float32, higher = query first.
        logits: (N, C) float32.
        embeddings: (N, D) float32, the input of the dropout before the head.
    """

    index: Tensor
    score: Tensor | None = None
    logits: Tensor | None = None
    embeddings: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    def rows(self, rows: Tensor) -> Self:
        """The given rows, in the given order.

        Args:
            rows: (M,) int64, or (N,) bool.
        """
        columns: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        taken: dict[str, Any] = {name: None if value is None else value[rows] for name, value in columns.items()}
        return replace(self, **taken)

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """One record of all parts, which have the same fields filled in."""
        if len(parts) == 1:
            return parts[0]
        columns: dict[str, Any] = {f.name: [getattr(part, f.name) for part in parts] for f in fields(cls)}
        joined: dict[str, Any] = {name: None if v[0] is None else torch.cat(v) for name, v in columns.items()}
        return cls(**joined)

    def probabilities(self) -> Tensor:
        """Softmax of the logits, (N, C) float32."""
        return self.require("logits").float().softmax(dim=-1)

    def require(self, name: str) -> Tensor:
        """An output that the strategy declared.

        Args:
            name: a field, ``logits`` for example.

        Raises:
            LookupError: it was not computed, since the strategy's ``needs`` does not name it.
        """
        value: Tensor | None = getattr(self, name)
        if value is None:
            raise LookupError(f"{name} were not computed: add {name!r} to the strategy's needs")
        return value
