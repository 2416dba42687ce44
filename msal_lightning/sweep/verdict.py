"""The runs of docs/verdict.md: many seeds of every strategy on features, where a run takes seconds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msal_lightning.errors import ConfigError
from msal_lightning.io.suggestions import did_you_mean

NAME = "verdict"
"""Name of the experiment, and of its configuration."""
ROOT = "verdict-data"
"""Folder of the feature sets, unless ``--data.root`` names another one."""


@dataclass(frozen=True)
class FeatureSet:
    """A set of features.

    Attributes:
        num_classes: C.
        options: options of ``fit`` besides the folder.
        has_test_folder: whether pool and test part lie in two folders.
    """

    num_classes: int
    options: tuple[str, ...] = ()
    has_test_folder: bool = False


_COMPONENTS = ("--data.standardize", "false", "--model.optimizer.lr", "0.02")  # the first ones are the largest
SETS = {
    "clipart": FeatureSet(11),
    "stamps": FeatureSet(7),
    "digits": FeatureSet(10, _COMPONENTS, True),
    "mnist": FeatureSet(10, _COMPONENTS, True),
    "fashion_mnist": FeatureSet(10, _COMPONENTS, True),
    "mnist_whole": FeatureSet(10, _COMPONENTS, True),
    "fashion_mnist_whole": FeatureSet(10, _COMPONENTS, True),
}
SMALL = ("clipart", "stamps", "digits", "mnist", "fashion_mnist")
"""Pools of at most 5,000 rows."""
BUDGETS = {"low": (1, 2, 18), "high": (5, 5, 45)}
"""Initial set, labels per round and further labels, each times C: to 19 C, and to 50 C, 10 % of 5,000 rows."""


@dataclass(frozen=True)
class Part:
    """A block of runs: each row on each feature set, budget and head, with each seed.

    Attributes:
        rows: name of a row to options of ``fit``.
        heads: heads of the model.
        sets: names of feature sets.
        budgets: names of budgets.
        seeds: number of seeds, from 0.
        initial: strategies of the initial set.
    """

    rows: Mapping[str, tuple[str, ...]]
    heads: tuple[str, ...]
    sets: tuple[str, ...]
    budgets: tuple[str, ...]
    seeds: int
    initial: tuple[str, ...] = ("Random",)


def _query(name: str, *options: str) -> tuple[str, ...]:
    return ("--query", name, *options)


_MSALD = ("--query.beta", "10")  # section 4.4
BOTH_HEADS = {
    "Random": _query("Random"),
    "Margin": _query("Margin"),
    "Entropy": _query("Entropy"),
    "KCenter": _query("KCenter"),
    "BADGE": _query("BADGE"),
    "TypiClust": _query("TypiClust"),
    "MaxHerding": _query("MaxHerding"),
    "UHerding": _query("UHerding", "--query.uncertainty", "Margin"),
    "Margin(MSAL-D, coverage)": _query(
        "MSALD", "--query.uncertainty", "Margin", "--query.diversity", "coverage", *_MSALD
    ),
}
PROTOTYPES = {
    "MSAL": _query("MSAL"),
    "MSAL-D": _query("MSALD", *_MSALD),
    "Margin(MSAL-D)": _query("MSALD", "--query.uncertainty", "Margin", *_MSALD),
    "UHerding(MSAL)": _query("UHerding", "--query.uncertainty", "MSAL"),
    "MSAL-D, coverage": _query("MSALD", "--query.diversity", "coverage", *_MSALD),
}
OTHERS = {
    "LeastConf": _query("LeastConfidence"),
    "BALD": _query("BALD"),
    "VarRatio": _query("VariationRatio"),
    "MeanSTD": _query("MeanSTD"),
    "BatchBALD": _query("BatchBALD"),
    "PowerBALD": _query("PowerAcquisition"),
    "EPIG": _query("EPIG"),
    "CEAL(Entropy)": _query("CEAL"),
    "DBAL(KMeans)": _query("DBAL"),
    "KMeans": _query("KMeans"),
    "ProbCover": _query("ProbCover"),
    "TCM": _query("TCM"),
    "DropQuery": _query("DropQuery"),
    "ClusterMargin": _query("ClusterMargin"),
    "BAIT": _query("BAIT"),
    "GALAXY": _query("GALAXY"),
    "DIRECT": _query("DIRECT"),
    "FALCUN": _query("FALCUN"),
    "ALFAMix": _query("ALFAMix"),
    "SEALS(Margin)": _query("SEALS", "--query.strategy", "Margin"),
}
_TWO = {name: BOTH_HEADS[name] for name in ("Random", "Margin")}
_FIVE = {name: ({**BOTH_HEADS, **PROTOTYPES})[name] for name in ("Random", "Margin", "BADGE", "MSAL", "MSAL-D")}
_HIGH = tuple(name for name in SMALL if name != "stamps")  # 50 C of stamps are 350 of its 372 images
PARTS = {
    "core": Part(BOTH_HEADS, ("linear", "prototype"), SMALL, ("low",), 50),
    "core, high": Part(BOTH_HEADS, ("linear", "prototype"), _HIGH, ("high",), 50),
    "prototypes": Part(PROTOTYPES, ("prototype",), SMALL, ("low",), 50),
    "prototypes, high": Part(PROTOTYPES, ("prototype",), _HIGH, ("high",), 50),
    "initial": Part(_TWO, ("prototype",), SMALL, ("low",), 50, ("TypiClust", "MaxHerding")),
    "others": Part(OTHERS, ("linear",), SMALL, ("low",), 20),
    "whole": Part(_FIVE, ("prototype",), ("mnist_whole", "fashion_mnist_whole"), ("low",), 10),
}


Cell = tuple[str, str, str, str, str]
"""Feature set, budget, head, strategy and initial set of runs that differ in their seed only."""


@dataclass(frozen=True)
class Run:
    """One run of the verdict.

    Attributes:
        feature_set: name of the feature set.
        budget: low or high.
        head: head of the model.
        row: name of the strategy.
        initial: strategy of the initial set.
        seed: seed of the run.
        options: options of ``fit`` besides folder and seed.
    """

    feature_set: str
    budget: str
    head: str
    row: str
    initial: str
    seed: int
    options: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def cell(self) -> Cell:
        """All but the seed."""
        return self.feature_set, self.budget, self.head, self.row, self.initial

    @property
    def name(self) -> str:
        """Name of the run directory."""
        words = [self.feature_set, self.budget, self.head, self.row, *([self.initial] * (self.initial != "Random"))]
        return "-".join([*words, f"seed{self.seed}"])

    def arguments(self, root: str) -> tuple[str, ...]:
        """Return all options of ``fit``; the seed comes last.

        Args:
            root: folder of the feature sets.
        """
        chosen = SETS[self.feature_set]
        folder = f"{root}/{self.feature_set}"
        data: tuple[str, ...] = ("--data.root", folder)
        if chosen.has_test_folder:
            data = ("--data.root", f"{folder}/pool", "--data.test_root", f"{folder}/test")
        return ("--config", NAME, *data, *chosen.options, *self.options, "--seed", str(self.seed))


def runs(seeds: Sequence[int] | None = None, only: Sequence[str] = ()) -> Iterator[Run]:
    """Yield all runs, all of a seed before the next, so that at any time all strategies have as many seeds.

    Args:
        seeds: seeds to keep; None: all.
        only: rows, feature sets, budgets or heads to keep; a run must match one word of each kind that is named.

    Raises:
        ConfigError: a word of ``only`` that means nothing.
    """
    everything = sorted((run for part in PARTS.values() for run in runs_of(part)), key=lambda run: run.seed)
    kinds = [{getattr(run, name) for run in everything} for name in ("row", "feature_set", "budget", "head")]
    known = sorted(set().union(*kinds))
    for word in only:
        if word not in known:
            raise ConfigError(f"expected --only to name {', '.join(known)}, got '{word}'{did_you_mean(word, known)}")
    wanted = [kind & {*only} or kind for kind in kinds]
    for run in everything:
        values = run.row, run.feature_set, run.budget, run.head
        if (seeds is None or run.seed in seeds) and all(v in kind for v, kind in zip(values, wanted, strict=True)):
            yield run


def runs_of(part: Part) -> Iterator[Run]:
    """Yield the runs of a part, seed by seed."""
    return (run for seed in range(part.seeds) for run in _runs(part, seed))


def _runs(part: Part, seed: int) -> Iterator[Run]:
    for feature_set in part.sets:
        for budget in part.budgets:
            sizes = (str(times * SETS[feature_set].num_classes) for times in BUDGETS[budget])
            keys = ("--loop.initial_size", "--loop.query_size", "--loop.query_budget")
            sized = tuple(word for pair in zip(keys, sizes, strict=True) for word in pair)
            for head in part.heads:
                for initial in part.initial:
                    first = () if initial == "Random" else ("--loop.initial", initial)
                    for row, query in part.rows.items():
                        options = (*sized, "--model.head", head, *first, *query)
                        yield Run(feature_set, budget, head, row, initial, seed, options)
