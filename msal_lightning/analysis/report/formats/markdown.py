"""A report as Markdown."""

from collections.abc import Sequence

from msal_lightning.analysis.report.class_table import f1_table
from msal_lightning.analysis.report.ranking import Ranking, rank_seeds
from msal_lightning.analysis.report.ranking_tables import ranking_notes, ranking_sentence, ranking_table
from msal_lightning.analysis.report.result import Report
from msal_lightning.analysis.report.tables import Table, footnotes, penalty_table, results_table, tests_table, verdict

_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>|#~"} | {"\n": " ", "\r": " ", "&": "&amp;"})


def markdown(report: Report) -> str:
    """Return the whole report."""
    parts = [
        f"# {escape(report.title)}",
        *(f"> **WARNING** {escape(warning)}" for warning in report.warnings),
        table(results_table(report)),
        "\n".join(f"- {escape(n)}" for n in footnotes(report)),
    ]
    parts += ["## Paired tests", escape(verdict(report))]
    if any(test.t_p is not None for test in report.tests):
        tests = tests_table(report)
        parts += [escape(tests.title) + ".", table(tests)]
    if ranking := rank_seeds(report):
        parts += ["## Ranks", *_ranking(ranking)]
    if report.forecast:
        parts += ["## Forecast", "\n".join(f"- {escape(line)}" for line in report.forecast)]
    if len(report.contenders) > 1:
        parts += ["## Penalty matrix", "Share of the budgets at which the row's method beats the column's."]
        parts.append(table(penalty_table(report)))
    if by_class := f1_table(report.by_class):
        parts += ["## Classes", escape(by_class.title) + ".", table(by_class)]
    return "\n\n".join(parts) + "\n"


def ranking_markdown(ranking: Ranking, names: Sequence[str]) -> str:
    """Return the page of a ranking over blocks.

    Args:
        ranking: the ranking.
        names: names of the blocks.
    """
    parts = ["# Strategies over datasets, heads and budgets", "\n".join(f"- {escape(name)}" for name in names)]
    return "\n\n".join([*parts, *_ranking(ranking)]) + "\n"


def _ranking(ranking: Ranking) -> list[str]:
    found = ranking_table(ranking)
    notes = "\n".join(f"- {escape(note)}" for note in ranking_notes(ranking))
    return [escape(ranking_sentence(ranking)), escape(found.title) + ".", table(found), notes]


def table(table: Table) -> str:
    """Return a table in Markdown, with right-aligned numbers."""
    lines = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)]]
    lines[0] = [escape(column) for column in table.columns]
    for i, row in enumerate(table.rows):
        lines.append([f"**{escape(c)}**" if (i, j) in table.bold else escape(c) for j, c in enumerate(row)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    """Escape all characters that Markdown could read as markup."""
    return text.translate(_SPECIAL)
