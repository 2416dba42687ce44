"""The numbers by class as a table for Markdown."""

from msal_lightning.analysis.report.by_class import ClassMeans
from msal_lightning.analysis.report.tables import NONE, Table
from msal_lightning.io.rounding import fixed

_SHOWN = 20


def f1_table(means: dict[str, list[ClassMeans]]) -> Table | None:
    """Return the F1 of each class and method, the lowest first; None if no method has numbers by class.

    Args:
        means: name of the method to its classes, in the order of the columns.
    """
    means = {name: classes for name, classes in means.items() if classes}
    if not means:
        return None
    longest = max(means.values(), key=len)
    f1 = [
        [classes[c].values["f1"] if c < len(classes) else None for classes in means.values()]
        for c in range(len(longest))
    ]
    order = sorted(range(len(longest)), key=lambda c: min((-1.0 if v is None else v for v in f1[c]), default=0.0))
    rows = [
        [longest[c].name, _number(longest[c].values["test"], 1), *(_number(value, 3) for value in f1[c])]
        for c in order[:_SHOWN]
    ]
    left_out = len(longest) - len(rows)
    title = "F1 by class, last round, mean over seeds" + (
        f"; the {_SHOWN} lowest of {len(longest):,}" if left_out else ""
    )
    return Table(title, ["class", "test images", *means], rows)


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None else fixed(value, digits).removesuffix(".0")
