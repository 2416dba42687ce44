"""A ranking as text."""

import math
from collections.abc import Callable

from msal_lightning.analysis.report.ranking import Ranking
from msal_lightning.analysis.report.tables import NONE, Table, p_value, signed
from msal_lightning.analysis.stats.estimates import LEVEL, Estimate
from msal_lightning.analysis.stats.power import DIFFERENCE
from msal_lightning.analysis.stats.ranks import LEVEL as LEVEL_OF_TESTS
from msal_lightning.analysis.stats.standings import Standing
from msal_lightning.io.rounding import fixed

_INTERVAL = f"[{LEVEL:.0%}]"


def ranking_table(ranking: Ranking) -> Table:
    """Return ranks, and each strategy against the baseline with intervals."""
    columns = ["strategy", "mean rank"]
    if ranking.baseline:
        columns += ["wins–ties–losses", f"difference {_INTERVAL}", f"in deviations {_INTERVAL}", "Wilcoxon p by Holm"]
        columns += [f"labels saved {_INTERVAL}"] if ranking.saved else []
        columns += [f"seeds for {DIFFERENCE}"]
    title = f"Ranks by AUBC, mean over {ranking.over}" + (f", and against {ranking.baseline}" * bool(ranking.baseline))
    return Table(title, columns, [_row(one, ranking) for one in ranking.standings])


def ranking_sentence(ranking: Ranking) -> str:
    """Return Friedman's test and the critical difference in one sentence."""
    least = p_value(ranking.smallest_p)
    blind = (
        f" Wilcoxon's test cannot find a difference over so few: by Holm its p is at least {least}."
        if ranking.smallest_p > LEVEL_OF_TESTS and ranking.against
        else ""
    )
    near = f"mean ranks differ by Nemenyi's test from {fixed(ranking.critical_difference, 2)} on"
    if ranking.friedman is None:
        return f"No Friedman test of {len(ranking.standings)} strategies over {ranking.over}; {near}.{blind}"
    test = ranking.friedman
    p = f"p = {p_value(test.p)}".replace("= <", "<")
    return f"Friedman's χ² = {fixed(test.chi_square, 2)}, {p}, over {ranking.over}; {near} (level 0.05).{blind}"


def ranking_notes(ranking: Ranking) -> list[str]:
    """Return the notes that explain the table."""
    notes = ["Rank 1 is the best; equal AUBCs share their mean rank. Tests after Demšar 2006."]
    if ranking.baseline:
        notes.append(
            f"Against {ranking.baseline}, paired by seed: the mean difference of AUBC, and the same in standard "
            "deviations of the paired differences; intervals are bootstrap quantiles over seeds, too narrow for fewer "
            f"than about ten. Seeds for {DIFFERENCE}: how many a paired t-test needs to find such a difference with a "
            "probability of 0.8, level 0.05."
        )
    if ranking.saved:
        notes.append(f"Labels saved at {ranking.baseline}'s final accuracy; {NONE} not reached, −∞ not in all draws.")
    return [*notes, *(note if note.endswith(".") else f"{note}." for note in ranking.notes)]


def _row(one: Standing, ranking: Ranking) -> list[str]:
    cells = [one.name, fixed(one.mean_rank, 2)]
    if not ranking.baseline:
        return cells
    saved = [with_interval(ranking.saved.get(one.name), as_labels)] if ranking.saved else []
    if one.difference is None:
        return [*cells, *[NONE] * (4 + len(saved) + 1)]
    p = ranking.against[one.name]
    return [
        *cells,
        f"{one.wins}–{one.ties}–{one.losses}",
        with_interval(one.difference, signed),
        with_interval(one.effect, _decimals),
        p_value(None if math.isnan(p) else p),
        *saved,
        NONE if one.seeds_needed is None else f"{one.seeds_needed:,}",
    ]


def with_interval(value: Estimate | None, text: Callable[[float], str]) -> str:
    """Format an estimate and its interval.

    Args:
        value: the estimate; NaN as ends if it has no interval.
        text: formats a number.
    """
    if value is None or math.isnan(value.value):
        return NONE
    ends = "" if math.isnan(value.low) else f" [{text(value.low)}, {text(value.high)}]"
    return text(value.value) + ends


def _decimals(value: float) -> str:
    return fixed(value, 2).replace("-", "−")


def as_labels(value: float) -> str:
    """Format a number of labels; -inf stands for an accuracy that is not reached."""
    return "−∞" if value == -math.inf else fixed(round(value) + 0.0, 0).replace("-", "−")  # + 0.0: no −0
