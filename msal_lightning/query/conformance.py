"""The contract of every query strategy, checked on small synthetic pools.

``python -m msal_lightning check-strategy NAME`` runs the checks for one strategy, including your own; in pytest::

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        result = run_check(check, MyStrategy)
        assert result.outcome != "failed", result.note
"""

import gc
import random
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from msal_lightning.data.label_guard import LabelAccessError, forbid_label_access
from msal_lightning.errors import UserError
from msal_lightning.query.callback import check_needs
from msal_lightning.query.shortlist import StreamingShortlist
from msal_lightning.strategies.base import ScoreStrategy, Strategy, Uncertainty
from msal_lightning.strategies.outputs import OUTPUTS, PoolOutputs

_ROWS = 120
_N = 13
_DIMENSIONS = 8
_FIRST_INDEX = 10_000  # beyond the rows of every pool here, so that an index used as a row is out of range
GROUPS = torch.arange(3 * _FIRST_INDEX) // 9
"""Number of the group of each index: three rows of a pool share one."""


class BrokenError(AssertionError):
    """The strategy violates the contract."""


class NotApplicableError(Exception):
    """The check does not apply to this strategy."""


@dataclass(frozen=True)
class Result:
    """The result of one check.

    Attributes:
        check: name of the check.
        outcome: passed, failed, or n/a.
        note: reason for failed or n/a.
    """

    check: str
    outcome: Literal["passed", "failed", "n/a"]
    note: str = ""


@dataclass(frozen=True)
class Case:
    """A strategy and pools that fit it.

    Args:
        make: makes the strategy.
        num_classes: C.
        head: whether logits are those of a prototype or of a linear head.
    """

    make: Callable[[], Strategy]
    num_classes: int
    head: Literal["prototype", "linear"]

    def outputs(self, rows: int, seed: int, declared_only: bool = True) -> PoolOutputs:
        """Make outputs of a model that distinguishes classes, for every third index, ascending."""
        strategy = self.make()
        generator = Generator().manual_seed(seed)
        centers = 2 * torch.randn(self.num_classes, _DIMENSIONS, generator=Generator().manual_seed(1))
        true = self._true(rows, generator)
        embeddings = centers[true] + torch.randn(rows, _DIMENSIONS, generator=generator)
        noise = torch.randn(strategy.mc_samples or 4, rows, self.num_classes, generator=generator)
        logits = self.head_of(embeddings)
        outputs = {"logits": logits, "embeddings": embeddings, "mc_logits": self.of_head(logits + noise)}
        chosen: dict[str, Any] = {
            name: value for name, value in outputs.items() if name in strategy.needs or not declared_only
        }
        return PoolOutputs(_FIRST_INDEX + 3 * torch.arange(rows), **chosen, num_classes=self.num_classes)

    def head_of(self, embeddings: Tensor) -> Tensor:
        """Compute logits from embeddings, as the head of the model."""
        centers = 2 * torch.randn(self.num_classes, _DIMENSIONS, generator=Generator().manual_seed(1))
        return self.of_head(embeddings @ centers.T / 4)

    def of_head(self, logits: Tensor) -> Tensor:
        """Make logits possible for the head: logits of a prototype head sum to zero."""
        return logits - logits.mean(dim=-1, keepdim=True) if self.head == "prototype" else logits

    def labeled(self, declared_only: bool = True) -> PoolOutputs | None:
        """Make outputs of a labeled set whose indices lie between those of the pool."""
        strategy, rows, seed = self.make(), 20, 99
        if declared_only and not strategy.needs_labeled:
            return None
        outputs = self.outputs(rows, seed, declared_only)
        true = self._true(rows, Generator().manual_seed(seed))
        labels = true if strategy.needs_labels or not declared_only else None
        return replace(outputs, index=outputs.index + 1, labels=labels)

    def _true(self, rows: int, generator: Generator) -> Tensor:
        return torch.randint(self.num_classes, (rows,), generator=generator)

    def select(
        self, batches: list[PoolOutputs], n: int = _N, strategy: Strategy | None = None, seed: int = 5
    ) -> Tensor:
        """Return the indices that the strategy selects from a pool in batches."""
        return self.select_from_shards([batches], n, strategy, seed)

    def select_from_shards(
        self, shards: list[list[PoolOutputs]], n: int = _N, strategy: Strategy | None = None, seed: int = 5
    ) -> Tensor:
        """Return the indices that the strategy selects from a pool that is divided among ranks."""
        strategy = strategy or self.make()
        head = self.head_of if strategy.needs_head else None
        ranks = [
            StreamingShortlist(strategy, n, Generator().manual_seed(seed), head=head, groups=GROUPS) for _ in shards
        ]
        for rank, batches in zip(ranks, shards, strict=True):
            for batch in batches:
                rank.add(batch)
        for rank in ranks[1:]:
            ranks[0].merge(rank.held())
        return ranks[0].finish(self.labeled()).index


def cases(make: Callable[[], Strategy]) -> Iterator[Case]:
    """Yield cases with two and with several classes, on each head that the strategy supports."""
    strategy = make()
    for num_classes in {max(strategy.min_classes, 2), max(strategy.min_classes, 6)}:
        if not strategy.needs_prototypes:
            yield Case(make, num_classes, "linear")
        yield Case(make, num_classes, "prototype")


# ---------------------------------------------------------------- the checks


def declares_what_it_needs(case: Case) -> None:
    """``needs``, ``mc_samples`` and ``shortlist_size`` agree with each other."""
    strategy = case.make()
    try:
        check_needs(strategy)
    except UserError as error:
        raise BrokenError(str(error)) from None
    for n in (1, 10, 1000):
        size = strategy.shortlist_size(n)
        _expect(size is None or size >= n, f"shortlist_size({n}) must be None or at least {n}, got {size}")


def reads_only_what_it_declares(case: Case) -> None:
    """The strategy works without outputs beyond ``needs``, and without labeled rows or labels unless declared."""

    def run(declared_only: bool) -> None:
        strategy = case.make()
        head = case.head_of if strategy.needs_head or not declared_only else None
        running = StreamingShortlist(strategy, _N, Generator().manual_seed(5), head=head, groups=GROUPS)
        running.add(case.outputs(_ROWS, 0, declared_only))
        running.finish(case.labeled(declared_only))

    try:
        run(declared_only=True)
    except Exception as error:
        try:
            run(declared_only=False)
        except Exception:
            raise NotApplicableError("not reached: it fails with all outputs too") from None
        raise BrokenError(f"it fails without outputs that it does not declare: {_say(error)}") from error


def does_not_read_labels(case: Case) -> None:
    """The strategy reads no labels of the pool: they are in no output, data module or oracle while it computes."""
    try:
        case.select([case.outputs(_ROWS, 0)])
    except LabelAccessError as error:
        raise BrokenError(f"it reads labels while it scores or selects{_where(error)}") from error
    except Exception as error:
        raise NotApplicableError(f"not reached: {_say(error)}") from None


def scores_are_finite_float32(case: Case) -> None:
    """Each row gets one finite float32 score, even if the model is certain or undecided."""
    strategy = _with_score(case)
    pool = case.outputs(_ROWS, 0)
    for factor in (1.0, 0.0, 1e4):
        score = _score(strategy, _scaled(pool, factor))
        _expect(score.shape == (_ROWS,), f"score() must give ({_ROWS},) numbers, got {tuple(score.shape)}")
        _expect(score.dtype == torch.float32, f"score() must give float32, got {score.dtype}")
        wrong = int((~torch.isfinite(score)).sum())
        _expect(not wrong, f"score() gave {wrong} numbers of {_ROWS} that are not finite, with logits times {factor:g}")


def hides_no_nan(case: Case) -> None:
    """A NaN or infinite output or score stops the query; the strategy does not turn it into a number."""
    pool = case.outputs(_ROWS, 0)
    if not case.make().needs:
        raise NotApplicableError("it reads no outputs")
    for value in (torch.nan, torch.inf):
        for name in sorted(case.make().needs):
            changed: dict[str, Any] = {name: _with_one(pool.require(name), value)}
            try:
                case.select([replace(pool, **changed)])
            except UserError:
                continue
            raise BrokenError(f"it queried images although one of the {name} is {value}")
        strategy = case.make()
        if strategy.shortlist_size(_N) is None:
            continue
        part = getattr(strategy, "uncertainty", None)
        if isinstance(part, ScoreStrategy):
            strategy.uncertainty = _OneBadScore(part, value)  # type: ignore[attr-defined]
            score = _score(strategy, pool)
            _expect(not bool(torch.isfinite(score[0])), f"its score is a number although its uncertainty is {value}")


def higher_score_means_query_first(case: Case) -> None:
    """An undecided row among certain ones: an uncertainty ranks it first, no other score of logits ranks it last."""
    strategy = _with_score(case)
    if not strategy.needs & {"logits", "mc_logits"}:
        raise NotApplicableError("its score does not come from logits")
    scores = torch.stack([_score(strategy, _with_planted_row(case), seed) for seed in range(64)]).mean(dim=0)
    undecided, certain = scores[0], scores[1:]
    if isinstance(strategy, Uncertainty):
        _expect(bool(undecided > certain.max()), "an undecided row scores below a certain one: higher = query first")
        _expect(bool(certain.min() >= 0), f"an uncertainty is at least 0, got {certain.min():.3g}")
        _expect(bool(certain.max() < 1e-3), f"an uncertainty is 0 for certain rows, got {certain.max():.3g}")
    else:
        _expect(bool(undecided > certain.min()), "an undecided row scores lowest of all: higher = query first")


def selects_the_highest_scores(case: Case) -> None:
    """A pure score strategy selects the n highest scores; ties go to the lower index."""
    strategy = case.make()
    if not isinstance(strategy, ScoreStrategy):
        raise NotApplicableError("it chooses by more than a score")
    pool = case.outputs(_ROWS, 0)
    score = _score(strategy, pool, 5).tolist()
    best = sorted(range(_ROWS), key=lambda row: (-score[row], row))[:_N]
    _expect(
        case.select([pool]).tolist() == pool.index[best].tolist(), f"it did not select the {_N} highest scores in order"
    )


def selects_different_images_of_the_pool(case: Case) -> None:
    """The strategy selects n different int64 indices of the pool."""
    for n in (1, _N, 60):
        pool = case.outputs(_ROWS, n)
        try:
            index = case.select([pool], n)
        except RuntimeError as error:
            raise BrokenError(str(error)) from error
        _expect(index.dtype == torch.int64 and index.shape == (n,), f"it queried {tuple(index.shape)} of ({n},)")
        _expect(len(set(index.tolist())) == n, "it queried an image twice")
        _expect(set(index.tolist()) <= set(pool.index.tolist()), "it queried an image that is not in the pool")


def never_selects_a_labeled_image(case: Case) -> None:
    """The strategy selects no labeled image, although their indices lie between those of the pool."""
    labeled = {*(case.outputs(20, 99).index + 1).tolist()}
    queried = case.select([case.outputs(_ROWS, 0)], 60)
    _expect(not labeled & set(queried.tolist()), "it queried a labeled image")


def takes_all_when_asked_for_all(case: Case) -> None:
    """If n is at least the size of the pool, the strategy selects every image once, even in a pool of one."""
    for rows in (1, 2, 30):
        pool = case.outputs(rows, 0)
        for n in (rows, rows + 7):
            queried = sorted(case.select([pool], n).tolist())
            _expect(queried == pool.index.tolist(), f"it queried {len(queried)} of {rows} images with n = {n}")


def same_generator_same_answer(case: Case) -> None:
    """The selection depends only on the pool and the generator, not on earlier queries."""
    pool = case.outputs(_ROWS, 0)
    strategy = case.make()
    first = case.select([pool], strategy=strategy)
    _expect(torch.equal(first, case.select([pool], strategy=strategy)), "two equal queries gave different selections")
    case.select([case.outputs(_ROWS, 1)], strategy=strategy, seed=6)
    _expect(torch.equal(first, case.select([pool], strategy=strategy)), "it remembers another pool")
    _expect(torch.equal(first, case.select([pool])), "a fresh instance gave another selection")


def order_of_the_pool_does_not_matter(case: Case) -> None:
    """The same images in any order give the same selection."""
    pool = case.outputs(_ROWS, 0)
    order = torch.randperm(_ROWS, generator=Generator().manual_seed(3))
    for rows in (torch.arange(_ROWS).flip(0), order):
        _expect(
            torch.equal(case.select([pool.rows(rows)]), case.select([pool])), "another order gave another selection"
        )


def batch_size_does_not_matter(case: Case) -> None:
    """The same images in other batches give the same selection."""
    pool = case.outputs(_ROWS, 0)
    for size in (1, 7, 64):
        _expect(
            torch.equal(case.select(_batches(pool, size)), case.select([pool])),
            f"batches of {size} gave another selection: a row's score must not depend on its batch",
        )


def number_of_shards_does_not_matter(case: Case) -> None:
    """The same images divided among several ranks give the same selection."""
    pool = case.outputs(_ROWS, 0)
    for ranks in (2, 3):
        shards = [_batches(pool.rows(torch.arange(rank, _ROWS, ranks)), 16) for rank in range(ranks)]
        _expect(
            torch.equal(case.select_from_shards(shards), case.select([pool])), f"{ranks} shards gave another selection"
        )


def leaves_global_randomness_alone(case: Case) -> None:
    """The strategy does not change the global generators of torch, numpy and Python."""
    states = {
        "torch": lambda: torch.get_rng_state().tolist(),
        "numpy": lambda: np.random.get_state()[1].tolist(),  # type: ignore[index] # noqa: NPY002
        "random": random.getstate,
    }
    before = {name: state() for name, state in states.items()}
    case.select([case.outputs(_ROWS, 0)])
    for name, state in states.items():
        _expect(state() == before[name], f"it draws from the global generator of {name}: use the generator argument")


def leaves_its_inputs_alone(case: Case) -> None:
    """The strategy does not modify its input tensors, because other parts of a composite use them too."""
    pool = case.outputs(_ROWS, 0)
    before = [value.clone() for value in _tensors(pool)]
    case.select([pool])
    _expect(all(map(torch.equal, before, _tensors(pool))), "it writes into the tensors that it is given")


def pseudo_labels_are_classes(case: Case) -> None:
    """Pseudo-labels are a class or -1 for each row."""
    strategy = case.make()
    pool = case.outputs(_ROWS, 0)
    if strategy.shortlist_size(_N) is not None:
        pool = replace(pool, score=_score(strategy, pool))
    labels = strategy.pseudo_labels(pool, 0)
    if labels is None:
        raise NotApplicableError("it makes none")
    fits = labels.shape == (_ROWS,) and labels.dtype == torch.int64
    _expect(fits, f"pseudo_labels() must give ({_ROWS},) int64, got {tuple(labels.shape)} {labels.dtype}")
    _expect(bool(-1 <= labels.min() <= labels.max() < case.num_classes), "a pseudo-label is no class")


def memory_is_the_shortlist(case: Case) -> None:
    """The strategy does not keep scored rows, so its memory does not grow with the pool."""
    strategy = _with_score(case)
    if case != next(cases(case.make)):
        return  # the number of classes changes nothing here
    pool = case.outputs(500, 0)
    _score(strategy, pool)
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    gc.freeze()  # what is there already need not be looked at: of that there is much
    try:
        before = _new_bytes()
        for _ in range(20):
            score = _score(strategy, _scaled(pool, 1.0))
            del score
        grown = _new_bytes() - before
    finally:
        gc.unfreeze()
        if not tracing:
            tracemalloc.stop()
    limit = 5 * 500 * 4  # a quarter of the scores of all batches
    _expect(grown < limit, f"it keeps {grown:,} bytes of 20 batches of 500 rows: score() must forget what it saw")


CHECKS: tuple[Callable[[Case], None], ...] = (
    declares_what_it_needs,
    reads_only_what_it_declares,
    does_not_read_labels,
    scores_are_finite_float32,
    hides_no_nan,
    higher_score_means_query_first,
    selects_the_highest_scores,
    selects_different_images_of_the_pool,
    never_selects_a_labeled_image,
    takes_all_when_asked_for_all,
    same_generator_same_answer,
    order_of_the_pool_does_not_matter,
    batch_size_does_not_matter,
    number_of_shards_does_not_matter,
    leaves_global_randomness_alone,
    leaves_its_inputs_alone,
    pseudo_labels_are_classes,
    memory_is_the_shortlist,
)


def run_check(check: Callable[[Case], None], make: Callable[[], Strategy]) -> Result:
    """Run one check on all cases.

    Args:
        check: one of :data:`CHECKS`.
        make: makes the strategy; its class, for example.
    """
    for case in cases(make):
        try:
            check(case)
        except NotApplicableError as reason:
            return Result(check.__name__, "n/a", str(reason))
        except BrokenError as error:
            return Result(check.__name__, "failed", f"{error} ({case.num_classes} classes, {case.head} head)")
    return Result(check.__name__, "passed")


def check_strategy(make: Callable[[], Strategy]) -> list[Result]:
    """Run all checks; later checks that fail with the same error as an earlier one are reported as n/a.

    Args:
        make: makes the strategy; its class, for example.
    """
    results: list[Result] = []
    for check in CHECKS:
        try:
            result = run_check(check, make)
        except Exception as error:
            if failed := next((earlier.check for earlier in results if earlier.outcome == "failed"), None):
                result = Result(check.__name__, "n/a", f"not reached, see: {failed.replace('_', ' ')}")
            else:
                result = Result(check.__name__, "failed", f"{_say(error)}{_where(error)}")
        results.append(result)
    return results


# ---------------------------------------------------------------- helpers of the checks


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise BrokenError(otherwise)


def _with_score(case: Case) -> Strategy:
    strategy = case.make()
    if strategy.shortlist_size(_N) is None:
        raise NotApplicableError("it has no score")
    return strategy


def _score(strategy: Strategy, pool: PoolOutputs, seed: int = 5) -> Tensor:
    with forbid_label_access():
        return strategy.score(pool, seed)


def _with_one(values: Tensor, value: float) -> Tensor:
    """Replace one number of the first row."""
    changed = values.clone()
    changed.select(-2, 0)[..., 0] = value
    return changed


class _OneBadScore:
    """Replaces the uncertainty of a composite by one whose first score is not finite."""

    def __init__(self, scores: ScoreStrategy, value: float) -> None:
        self._scores, self._value = scores, value

    def score(self, pool: PoolOutputs, seed: int) -> Tensor:
        score = self._scores.score(pool, seed).clone()
        score[0] = self._value
        return score


def _tensors(pool: PoolOutputs) -> list[Tensor]:
    values = (getattr(pool, field.name) for field in fields(pool))
    return [value for value in values if isinstance(value, Tensor)]


def _scaled(pool: PoolOutputs, factor: float) -> PoolOutputs:
    scaled: dict[str, Any] = {name: factor * getattr(pool, name) for name in OUTPUTS if getattr(pool, name) is not None}
    return replace(pool, **scaled)


def _batches(pool: PoolOutputs, size: int) -> list[PoolOutputs]:
    return [pool.rows(rows) for rows in torch.split(torch.arange(len(pool)), size)]


def _with_planted_row(case: Case) -> PoolOutputs:
    """Make one undecided row, whose dropout passes may disagree, followed by certain rows of every class."""
    pool = case.outputs(1 + 5 * case.num_classes, 0)
    true = torch.arange(len(pool)) % case.num_classes
    certain = case.of_head(40.0 * torch.eye(case.num_classes))
    outputs: dict[str, Any] = {}
    if pool.logits is not None:
        outputs["logits"] = certain[true].clone()
        outputs["logits"][0] = 0
    if pool.mc_logits is not None:
        passes = len(pool.mc_logits)
        outputs["mc_logits"] = certain[true].repeat(passes, 1, 1)
        outputs["mc_logits"][:, 0] = certain[torch.arange(passes) % case.num_classes]
    return replace(pool, **outputs)


def _new_bytes() -> int:
    """Memory of the tensors that are not frozen, and of what numpy and Python have taken since tracing began."""
    gc.collect()
    tensors = (item for item in gc.get_objects() if issubclass(type(item), Tensor) and item.layout == torch.strided)
    storages = {item.untyped_storage().data_ptr(): item.untyped_storage().nbytes() for item in tensors}
    return int(sum(storages.values())) + tracemalloc.get_traced_memory()[0]


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _where(error: BaseException) -> str:
    """Return file and line of the strategy's code that raised an error."""
    others = (Path(__file__).parent, Path(torch.__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(other in Path(frame.filename).parents for other in others)
    ]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
