"""What the verdict says, with its numbers; a sentence that no longer holds stops the page."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.verdict.choices import (
    BLOCKS,
    DIVERSITY,
    HEADS,
    UNCERTAINTY,
    budgets,
    pairs_of_heads,
    pairs_of_initial_sets,
    pairs_of_rows,
)
from benchmarks.verdict.effects import Effect, Pair, Scores, effect
from msal_lightning.analysis.report.ranking_tables import with_interval
from msal_lightning.analysis.report.tables import signed

Blocks = Mapping[tuple[str, str], Sequence[Pair]]


class Findings:
    """The effects of choices, each checked against what the text says of it.

    Args:
        found: see :func:`~benchmarks.verdict.effects.scores`.
    """

    def __init__(self, found: Scores) -> None:
        self._found, self._budgets = found, dict(budgets())

    def of(self, name: str, budget: str = "both") -> Effect:
        """Return the effect of a choice that the tables list."""
        rows, heads = (UNCERTAINTY | DIVERSITY)[name]
        return self._known(name, pairs_of_rows(rows, heads, self._budgets[budget]))

    def of_head(self, budget: str) -> Effect:
        """Return the effect of the prototype head."""
        return self._known("prototype head", pairs_of_heads(self._budgets[budget]))

    def of_initial(self, initial: str, row: str) -> Effect:
        """Return the effect of an initial set on a strategy's curve."""
        return self._known(f"{initial} as initial set", pairs_of_initial_sets(initial, row))

    def between(self, first: str, second: str, heads: Sequence[str]) -> Effect:
        """Return the difference of two strategies."""
        return self._known(f"{first} instead of {second}", pairs_of_rows([(first, second)], heads, BLOCKS))

    def _known(self, name: str, pairs: Blocks) -> Effect:
        one = effect(name, self._found, pairs)
        if one is None:
            raise SystemExit(f"expected two seeds of '{name}' in the table, got fewer: run them first")
        return one


def gain(one: Effect, everywhere: bool = False) -> str:
    """Return an effect whose interval must lie above 0, and its blocks too if it holds everywhere."""
    _check(one, one.estimate.low > 0 and (one.positive == one.num_blocks or not everywhere))
    return _written(one)


def loss(one: Effect, everywhere: bool = False) -> str:
    """Return an effect whose interval must lie below 0, and its blocks too if it holds everywhere."""
    _check(one, one.estimate.high < 0 and (one.positive == 0 or not everywhere))
    return _written(one)


def tie(one: Effect) -> str:
    """Return an effect that may be nothing."""
    _check(one, one.estimate.low < 0 < one.estimate.high)
    return _written(one)


def _check(one: Effect, holds: bool) -> None:
    if not holds:
        raise SystemExit(
            f"benchmarks/verdict/conclusions.py says something else of '{one.name}' than the table: {_written(one)}, "
            f"above 0 in {one.positive} of {one.num_blocks} blocks: correct the sentence"
        )


def _written(one: Effect) -> str:
    return with_interval(one.estimate, signed)


def sentences(found: Scores) -> Iterator[str]:
    """Yield what can be said."""
    see, prototype = Findings(found), HEADS[1:]
    herding, margin = see.of("MaxHerding instead of Random"), see.of("Margin instead of Random")
    nine = herding.num_blocks
    yield (
        "**Diversity has the largest effect.** Covering the pool without any model (MaxHerding instead of Random) "
        f"adds {gain(herding, everywhere=True)} to AUBC, in all {nine} blocks: "
        f"{gain(see.of('MaxHerding instead of Random', 'low'))} at the low budget and "
        f"{gain(see.of('MaxHerding instead of Random', 'high'))} at the high one. Not every diversity does: KCenter "
        f"instead of Random loses, {loss(see.of('KCenter instead of Random'))}."
    )
    weight = see.of("Margin as weight: UHerding instead of MaxHerding")
    yield (
        "**Uncertainty comes second, by the margin.** Margin instead of Random adds "
        f"{gain(margin, everywhere=True)}, in all {nine} blocks; Entropy loses, "
        f"{loss(see.of('Entropy instead of Random'))}. Beside herding, where the margin is only a weight, "
        f"{gain(weight)} is left of it."
    )
    yield (
        "**Eq. 2 cannot be told from the margin at the low budget** "
        f"({tie(see.of('Eq. 2 instead of Margin', 'low'))}), **and is worse at the high budget** "
        f"({loss(see.of('Eq. 2 instead of Margin', 'high'))})."
    )
    coverage = see.of("coverage instead of nearest in Algorithm 1")
    yield (
        "**Algorithm 1 helps Eq. 2 and harms the margin.** MSAL-D instead of MSAL adds "
        f"{gain(see.of('Algorithm 1: MSAL-D instead of MSAL'))}; Margin(MSAL-D) instead of Margin loses, "
        f"{loss(see.of('Algorithm 1: Margin(MSAL-D) instead of Margin'), everywhere=True)}, in all {nine} blocks. "
        "The algorithm takes, of the uncertain images, those nearest to a prototype, so the most certain of them. "
        "If it covers each class's candidates instead (`--query.diversity coverage`), it gains "
        f"{gain(coverage, everywhere=True)}, again in all {nine} blocks."
    )
    yield (
        f"**Prototypes as a head change little**: {loss(see.of_head('low'))} against a linear layer at the low "
        f"budget, {loss(see.of_head('high'))} at the high one. On frozen features; whether they help a network to "
        "learn features is another question, which this page cannot answer."
    )
    yield (
        "**An initial set by TypiClust is worth nearly as much as Margin**: "
        f"{gain(see.of_initial('TypiClust', 'Random'), everywhere=True)} on the whole curve before Random, "
        f"{gain(see.of_initial('TypiClust', 'Margin'), everywhere=True)} before Margin, in all five sets."
    )
    best, ours = see.between("UHerding", "Random", HEADS), see.between("MSAL-D", "Random", prototype)
    yield (
        f"**Who wins?** UHerding, on both heads: {gain(best, everywhere=True)} over Random. The paper's MSAL-D is "
        f"better than Random, too ({gain(ours)}), but UHerding beats it by "
        f"{gain(see.between('UHerding', 'MSAL-D', prototype), everywhere=True)}, TypiClust by "
        f"{gain(see.between('TypiClust', 'MSAL-D', prototype))}, and Margin by "
        f"{gain(see.between('Margin', 'MSAL-D', prototype))}."
    )


def conclusions(found: Scores) -> str:
    """Return the sentences as a list."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(sentences(found), 1))
