"""A report in the terminal."""

import rich.box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from msal_lightning.analysis.report.ranking import Ranking, rank_seeds
from msal_lightning.analysis.report.ranking_tables import ranking_notes, ranking_sentence, ranking_table
from msal_lightning.analysis.report.result import Report
from msal_lightning.analysis.report.tables import Table, blocks, footnotes, p_value, results_table, signed, verdict

_SHOWN_TESTS = 5


def show(report: Report, console: Console) -> None:
    """Print the main table, its notes, and the tests in a few lines.

    Args:
        report: the report.
        console: the output.
    """
    table = results_table(report)
    console.print(Text(table.title, style="bold"))
    if report.warnings:
        text = Text("\n".join(report.warnings))
        console.print(Panel(text, title="WARNING", title_align="left", border_style="bold red", style="red"))
    for columns in blocks(table, report.in_paper):  # one table would not fit into 80 columns
        _print(table, columns, console)
    console.print(Text(verdict(report)))
    for test in [test for test in report.tests if test.holm_p is not None and test.holm_p < 0.05][:_SHOWN_TESTS]:
        chance = f"p = {p_value(test.holm_p)}".replace("= <", "<")
        console.print(Text(f"  {test.first} − {test.second}: {signed(test.difference)}, {chance}, {test.seeds} seeds"))
    if ranking := rank_seeds(report):
        console.print(Text(ranking_sentence(ranking)))
    for line in report.forecast:
        console.print(Text(line))
    for note in footnotes(report):
        console.print(Text(note, style="dim"))


def show_ranking(ranking: Ranking, console: Console) -> None:
    """Print a ranking over blocks, and its notes.

    Args:
        ranking: the ranking.
        console: the output.
    """
    table = ranking_table(ranking)
    console.print(Text(table.title, style="bold"))
    for columns in (range(4), (0, *range(4, len(table.columns)))):  # one table would not fit into 80 columns
        if shown := [j for j in columns if j < len(table.columns)]:
            _print(table, shown, console)
    console.print(Text(ranking_sentence(ranking)))
    for note in ranking_notes(ranking):
        console.print(Text(note, style="dim"))


def _print(table: Table, columns: list[int], console: Console) -> None:
    shown = RichTable(box=rich.box.SIMPLE_HEAD)
    for j in columns:
        shown.add_column(Text(table.columns[j]), justify="right" if j else "left", overflow="fold")
    for i, row in enumerate(table.rows):
        shown.add_row(*(Text(row[j], style="bold" if (i, j) in table.bold else "") for j in columns))
    console.print(shown)
