"""A report's main table as LaTeX with booktabs."""

from msal_lightning.analysis.report.result import Report
from msal_lightning.analysis.report.tables import Table, blocks, footnotes, results_table

_SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "±": r"$\pm$",
        "†": r"$^\dagger$",
        "‡": r"$^\ddagger$",
        "−": "$-$",
        "–": "--",
        "×": r"$\times$",
        "\n": " ",
        "\r": " ",
    }
)


def latex(report: Report) -> str:
    """Return a ``table`` environment; it needs the package booktabs and, for quotes, the T1 encoding.

    The columns come in blocks below each other, since side by side they would not fit on a page. Comments name the runs
    that are left out, because their folders have no use in print.
    """
    table = results_table(report)
    caption, *notes = [note for note in (*footnotes(report), *report.warnings) if not note.startswith("Paired tests")]
    left_out = [note for note in notes if note.removesuffix(".") in report.comparison.notes]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            *(f"% {escape(note)}" for note in left_out),
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape(table.title)}. {escape(caption)}}}",
            r"  \medskip\footnotesize",
            r"  \setlength{\tabcolsep}{4pt}",
            *(line for columns in blocks(table, report.in_paper) for line in _tabular(table, columns)),
            r"  \raggedright",
            *(f"  {escape(note)}" for note in notes if note not in left_out),
            r"\end{table}",
            "",
        ]
    )


def _tabular(table: Table, columns: list[int]) -> list[str]:
    def cell(i: int, j: int) -> str:
        text = escape(table.rows[i][j])
        return rf"\textbf{{{text}}}" if (i, j) in table.bold else text

    return [
        rf"  \begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
        r"    \toprule",
        "    " + " & ".join(escape(table.columns[j]) for j in columns) + r" \\",
        r"    \midrule",
        *("    " + " & ".join(cell(i, j) for j in columns) + r" \\" for i in range(len(table.rows))),
        r"    \bottomrule",
        r"  \end{tabular}\par\medskip",
    ]


def escape(text: str) -> str:
    """Escape all characters that LaTeX could read as commands."""
    return text.translate(_SPECIAL)
