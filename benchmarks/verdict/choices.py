"""The choices that the verdict separates: head, uncertainty, diversity and initial set."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from benchmarks.verdict.effects import Pair, Scores, values_of
from msal_lightning.analysis.report.blocks import Blocks
from msal_lightning.sweep.verdict import BOTH_HEADS, PARTS, PROTOTYPES, SMALL

HEADS = ("linear", "prototype")
BLOCKS = tuple((name, "low") for name in SMALL) + tuple((name, "high") for name in PARTS["core, high"].sets)
"""Feature set and budget."""
Rows = Sequence[tuple[str, str]]
"""Pairs of strategies that differ in one choice: the first has it."""

# Uncertainty, with the same diversity on both sides
UNCERTAINTY: dict[str, tuple[Rows, Sequence[str]]] = {
    "Margin instead of Random": ([("Margin", "Random")], HEADS),
    "Entropy instead of Random": ([("Entropy", "Random")], HEADS),
    "Eq. 2 (MSAL) instead of Random": ([("MSAL", "Random")], HEADS[1:]),
    "Eq. 2 instead of Margin": (
        [
            ("MSAL", "Margin"),
            ("MSAL-D", "Margin(MSAL-D)"),
            ("MSAL-D, coverage", "Margin(MSAL-D, coverage)"),
            ("UHerding(MSAL)", "UHerding"),
        ],
        HEADS[1:],
    ),
    "Margin as weight: UHerding instead of MaxHerding": ([("UHerding", "MaxHerding")], HEADS),
    "Eq. 2 as weight: UHerding(MSAL) instead of MaxHerding": ([("UHerding(MSAL)", "MaxHerding")], HEADS[1:]),
}
# Diversity, with the same uncertainty on both sides
DIVERSITY: dict[str, tuple[Rows, Sequence[str]]] = {
    "MaxHerding instead of Random": ([("MaxHerding", "Random")], HEADS),
    "TypiClust instead of Random": ([("TypiClust", "Random")], HEADS),
    "KCenter instead of Random": ([("KCenter", "Random")], HEADS),
    "Algorithm 1: MSAL-D instead of MSAL": ([("MSAL-D", "MSAL")], HEADS[1:]),
    "Algorithm 1: Margin(MSAL-D) instead of Margin": ([("Margin(MSAL-D)", "Margin")], HEADS[1:]),
    "coverage instead of nearest in Algorithm 1": (
        [("MSAL-D, coverage", "MSAL-D"), ("Margin(MSAL-D, coverage)", "Margin(MSAL-D)")],
        HEADS[1:],
    ),
    "herding: UHerding(MSAL) instead of MSAL": ([("UHerding(MSAL)", "MSAL")], HEADS[1:]),
    "herding: UHerding instead of Margin": ([("UHerding", "Margin")], HEADS),
}


def pairs_of_rows(
    rows: Rows, heads: Sequence[str], blocks: Sequence[tuple[str, str]]
) -> Mapping[tuple[str, str], Sequence[Pair]]:
    """Return, by block, the cells of two strategies on the same head with a drawn initial set."""
    return {
        (name, budget): [
            Pair(*((name, budget, head, row, "Random") for row in two)) for head, two in product(heads, rows)
        ]
        for name, budget in blocks
    }


def pairs_of_heads(blocks: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Sequence[Pair]]:
    """Return, by block, the cells of each strategy on the prototype head and on the linear one."""
    return {
        (name, budget): [
            Pair(*((name, budget, head, row, "Random") for head in ("prototype", "linear"))) for row in BOTH_HEADS
        ]
        for name, budget in blocks
    }


def pairs_of_initial_sets(initial: str, row: str) -> Mapping[tuple[str, str], Sequence[Pair]]:
    """Return, by feature set, the cells of a strategy with an initial set of another strategy and with a drawn one."""
    return {
        (name, "low"): [Pair(*((name, "low", "prototype", row, first) for first in (initial, "Random")))]
        for name in SMALL
    }


def budgets() -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
    """Yield the name of each group of blocks: low, high and both."""
    for budget in ("low", "high"):
        yield budget, [block for block in BLOCKS if block[1] == budget]
    yield "both", BLOCKS


def strategies_of(head: str) -> list[str]:
    """Return the core strategies of a head."""
    return [*BOTH_HEADS, *(PROTOTYPES if head == "prototype" else ())]


def compared(found: Scores, names: Sequence[str], head: str, blocks: Sequence[tuple[str, str]]) -> Blocks:
    """Return the AUBC of strategies on one head, in the blocks that have two seeds of all."""
    values = {block: values_of(found, [(*block, head, name, "Random") for name in names]) for block in blocks}
    usable = {f"{name}, {budget}": rows for (name, budget), rows in values.items() if len(rows) > 1}
    return Blocks([*names], [*usable], [*usable.values()], [])
