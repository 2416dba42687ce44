"""The bar of long work in a terminal."""

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from msal_lightning.io.console import shared_console


def progress_bar() -> Progress | None:
    """Return a bar with the time so far and the time left, not started; None outside of a terminal."""
    console = shared_console()
    if not console.is_terminal:
        return None
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        TimeElapsedColumn(),
        TextColumn("left", style="dim"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)
