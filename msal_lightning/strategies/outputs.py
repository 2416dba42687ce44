"""What a strategy sees of the pool."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

OUTPUTS = frozenset({"logits", "embeddings", "mc_logits"})
"""What a strategy may name in ``needs``: the model's outputs that are fields of :class:`PoolOutputs`."""


@dataclass(frozen=True)
class PoolOutputs:
    """The model's outputs for N images; what the strategy did not ask for is None.

    Attributes:
        index: (N,) int64, dataset-absolute.
        score: (N,) float32, higher = query first.
        logits: (N, C) float32.
        embeddings: (N, D) float32, the input of the dropout before the head.
        mc_logits: (T, N, C) float32, of T passes with dropout on.
    """

    index: Tensor
    score: Tensor | None = None
    logits: Tensor | None = None
    embeddings: Tensor | None = None
    mc_logits: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def num_bytes(self) -> int:
        """Memory of all that is filled in."""
        return sum(value.nbytes for value in self._columns(lambda _, value: value).values())

    def rows(self, rows: Tensor) -> Self:
        """The given rows, in the given order.

        Args:
            rows: (M,) int64, or (N,) bool.
        """
        return replace(self, **self._columns(lambda name, value: value[:, rows] if _row_axis(name) else value[rows]))

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """One record of all parts, which have the same fields filled in."""
        if len(parts) == 1:
            return parts[0]
        return replace(
            parts[0],
            **parts[0]._columns(
                lambda name, _: torch.cat([part.require(name) for part in parts], dim=_row_axis(name)),
            ),
        )

    def _columns(self, change: Callable[[str, Tensor], Tensor]) -> dict[str, Tensor]:
        filled = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return {name: change(name, value) for name, value in filled.items()}

    def probabilities(self) -> Tensor:
        """Softmax of the logits, (N, C) float32."""
        return self.require("logits").float().softmax(dim=-1)

    def mc_probabilities(self) -> Tensor:
        """Softmax of each dropout pass, (T, N, C) float32; averaged over passes they are probabilities again.

        Averaging the logits instead would hide the passes' disagreement.
        """
        return self.require("mc_logits").float().softmax(dim=-1)

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


def _row_axis(name: str) -> int:
    return 1 if name == "mc_logits" else 0
