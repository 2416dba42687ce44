"""The order in which images enter the initial set."""

from dataclasses import dataclass

import torch
from torch import Tensor

from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import ConfigError, DataError
from msal_lightning.loop.initial_features import initial_features
from msal_lightning.query.shortlist import StreamingShortlist
from msal_lightning.runs.options import LoopOptions
from msal_lightning.seeding import stream
from msal_lightning.strategies.base import Strategy
from msal_lightning.strategies.outputs import PoolOutputs
from msal_lightning.strategies.random import Random
from msal_lightning.strategies.rows import RowSource
from msal_lightning.training.distributed import Ranks


@dataclass(frozen=True)
class InitialOrder:
    """The order in which images enter the initial set.

    Attributes:
        index: (N,) int64, the whole pool: known labels and held-out images first, then the chosen images, then the
            others, which replace images that a person skips.
        chosen: (n,) int64, the images that ``loop.initial`` chose; none if it draws uniformly.
        tested: (m,) int64, the first ones of ``index``, whose groups only test; none without groups.
    """

    index: Tensor
    chosen: Tensor
    tested: Tensor

    def held_out_first(self, index: Tensor) -> Tensor:
        """Put images that only test before others, and drawn ones before chosen ones: a test set is a random sample.

        Args:
            index: (n,) int64, the labeled initial set.
        """
        is_tested, is_chosen = torch.isin(index, self.tested), torch.isin(index, self.chosen)
        return torch.cat([index[is_tested], index[~is_tested & ~is_chosen], index[is_chosen]])


def initial_order(data: ActiveDataModule, options: LoopOptions, size: int, ranks: Ranks) -> InitialOrder:
    """Order the pool: by a uniform draw, or with the choice of ``loop.initial`` before the rest of that draw.

    Args:
        data: owns the pool; nothing is labeled.
        options: options of the loop.
        size: number of labels in the initial set.
        ranks: processes that must agree.

    Raises:
        UserError: the strategy needs a model, or features are missing.
    """
    tested = _images_to_test(data, options.held_out)
    drawn, none = data.initial_order(), torch.empty(0, dtype=torch.int64)
    strategy, size = options.initial, size - len(tested)
    if strategy is None or type(strategy) is Random:
        return InitialOrder(torch.cat([tested, drawn]), none, tested)
    num_known = 0 if data.hidden_labels.is_whole else int(data.hidden_labels.known[drawn].sum())
    first = num_known if len(tested) else max(num_known, options.held_out)
    if first >= size or size >= len(drawn):  # nothing is left to choose
        return InitialOrder(torch.cat([tested, drawn]), none, tested)
    known, rest = drawn[:num_known], drawn[first:].sort().values
    check_needs_no_model(strategy)
    chosen = ranks.on_zero(
        lambda: _choose(strategy, initial_features(options.initial_features, data), known, rest, size - first, data)
    )
    others = drawn[first:][~torch.isin(drawn[first:], chosen)]
    return InitialOrder(torch.cat([tested, drawn[:first], chosen, others]), chosen, tested)


def _images_to_test(data: ActiveDataModule, held_out: int) -> Tensor:
    """Return the images of ``loop.held_out`` in groups that only test: (m,) int64; none without groups."""
    order = data.test_order()
    if data.test_only is not None and len(order) < held_out:
        raise ConfigError(
            f"expected loop.held_out to be at most {len(order)}, the images in groups that data.test_fraction keeps "
            f"for testing, got {held_out}: lower it, or raise data.test_fraction"
        )
    return order[:held_out]


def check_needs_no_model(strategy: Strategy) -> None:
    """Reject a strategy that needs the outputs of a model.

    Raises:
        ConfigError: it needs more than features.
    """
    if more := sorted(strategy.needs - {"embeddings"}):
        raise ConfigError(
            "expected loop.initial to be a strategy that needs no model (Random, TypiClust, ProbCover, KCenter, "
            f"KMeans, MaxHerding), got {strategy.name}, which needs {', '.join(more)}: set it to one of these"
        )


def _choose(
    strategy: Strategy, features: RowSource, known: Tensor, pool: Tensor, n: int, data: ActiveDataModule
) -> Tensor:
    """Choose n images of the pool by their features: (n,) int64, best first."""
    stored = features if strategy.embeddings_by_rows else None
    num_classes = data.num_classes if data.num_classes > 1 else None  # a person may have yet to name them
    running = StreamingShortlist(strategy, n, stream(data.seed, "initial"), 0, stored, groups=data.groups)
    running.add(PoolOutputs(pool, embeddings=None if stored else features.at(pool), num_classes=num_classes))
    known = known.sort().values
    labeled = PoolOutputs(known, embeddings=features.at(known)) if strategy.needs_labeled and len(known) else None
    try:
        return running.finish(labeled).index
    except DataError:
        if num_classes:
            raise
        raise ConfigError(
            f"expected data.classes with loop.initial {strategy.name}, which needs the number of classes, got none: "
            "name them, or choose TypiClust"
        ) from None
