"""A report's main table as LaTeX with booktabs."""

from msal_lightning.report.result import Report
from msal_lightning.report.tables import footnotes, results_table

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
        "−": "$-$",
        "–": "--",
        "×": r"$\times$",
        "\n": " ",
        "\r": " ",
    }
)


def latex(report: Report) -> str:
    """A ``table`` environment; needs the package booktabs and, for quotes, the T1 encoding."""
    table = results_table(report)
    head = " & ".join(escape(column) for column in table.columns)
    lines = [
        " & ".join(rf"\textbf{{{escape(c)}}}" if (i, j) in table.bold else escape(c) for j, c in enumerate(row))
        for i, row in enumerate(table.rows)
    ]
    caption = " ".join([escape(table.title) + ".", *map(escape, footnotes(report))])
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{caption}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"    \toprule",
            rf"    {head} \\",
            r"    \midrule",
            *(rf"    {line} \\" for line in lines),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Nothing of it is a command."""
    return text.translate(_SPECIAL)
