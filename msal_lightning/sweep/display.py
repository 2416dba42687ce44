"""Shows a sweep: as a live table in a terminal, else as one line for each cell that ends."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from msal_lightning.io.console import shared_console
from msal_lightning.io.rounding import fixed
from msal_lightning.io.wording import counted
from msal_lightning.sweep.progress import Progress, State

_STYLES: dict[State, str] = {
    "waiting": "dim",
    "running": "cyan",
    "done": "green",
    "failed": "bold red",
    "stopped": "yellow",
}
_AROUND = 6  # lines of the terminal that are not cells: head, counts, notes


class SweepDisplay:
    """Prints the progress of a sweep.

    Args:
        console: the output, by default rich's own console.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or shared_console()
        self._live: Live | None = None
        self._ended: list[Progress] = []
        self._note = ""

    @contextmanager
    def live(self, cells: Sequence[Progress]) -> Iterator[None]:
        """Show the table inside the ``with`` block, and leave its last state on the screen."""
        before = sum(cell.before for cell in cells)
        if before:
            self.say(f"{before} of {counted(len(cells), 'cell')} {'is' if before == 1 else 'are'} done already")
        if not self._console.is_terminal:
            yield
            return
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
        with self._live:
            yield
            self.update(cells)
        self._live = None

    def update(self, cells: Sequence[Progress]) -> None:
        """Show how far the cells have come."""
        if self._live is not None:
            self._live.update(self.table(cells, self._console.height - _AROUND), refresh=True)

    def ended(self, cell: Progress, cells: Sequence[Progress]) -> None:
        """Report a cell that is done or has failed."""
        self._ended.append(cell)
        if self._live is not None:
            return
        count = f"[{sum(other.state in ('done', 'failed') for other in cells)}/{len(cells)}]"
        if cell.state == "failed":
            self.say(f"{count} {cell.name} failed: {cell.why}; log: {cell.job.log}")
        else:
            self.say(
                f"{count} {cell.name}: accuracy {_accuracy(cell)} with {counted(cell.labels or 0, 'label')}, "
                f"{cell.seconds:.1f} s"
            )

    def stopping(self, signal: str, running: int, again: bool) -> None:
        """Report a signal that ends the sweep."""
        cells = counted(running, "cell")
        self._note = (
            f"{signal}: stopping {cells} at once"
            if again
            else f"{signal}: waiting for {cells} to stop after the current batch; a second signal stops at once"
        )
        if self._live is None:
            self.say(self._note)

    def finish(self, cells: int, failed: Sequence[Progress], out: str) -> None:
        """Print the result, and each failed cell with its log."""
        if not failed:
            done = "the cell is" if cells == 1 else f"all {cells:,} cells are"
            self.say(f"{done} done, in {out}; see `python -m msal_lightning report {out}`", style="bold")
            return
        self.say(f"{len(failed)} of {counted(cells, 'cell')} failed; the same command tries them again:", style="bold")
        for cell in failed:
            self.say(f"  {cell.name}: {cell.why}")
            self.say(f"    log: {cell.job.log}", style="dim")

    def say(self, text: str, style: str | None = None) -> None:
        """Print one line."""
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def table(self, cells: Sequence[Progress], height: int) -> Group:
        """Build a table of all cells; if the screen is too small, of those that run, failed or ended last.

        Args:
            cells: all cells in the order of the sweep.
            height: number of lines for the cells.
        """
        shown = self._window(cells, max(3, height))
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("cell", no_wrap=True, overflow="ellipsis")
        table.add_column("state", no_wrap=True)
        for name in ("labels", "accuracy", "seconds"):
            table.add_column(name, justify="right", no_wrap=True)
        for cell in shown:
            table.add_row(
                Text(cell.name),
                Text(_state(cell), style=_STYLES[cell.state]),
                "–" if cell.labels is None else str(cell.labels),
                _accuracy(cell),
                f"{cell.seconds:.1f}" if cell.rounds else "–",
                style="dim" if cell.state == "waiting" else None,
            )
        counts = Counter(cell.state for cell in cells)
        line = Text(", ").join(Text(f"{counts[s]} {s}", style=style) for s, style in _STYLES.items() if counts[s])
        hidden = len(cells) - len(shown)
        line.append(f" – {counted(hidden, 'cell')} not shown" if hidden else "", style="dim")
        return Group(table, line, *([Text(self._note, style="yellow")] if self._note else []))

    def _window(self, cells: Sequence[Progress], height: int) -> list[Progress]:
        if len(cells) <= height:
            return list(cells)
        order = [
            *(cell for cell in cells if cell.state == "running"),
            *reversed([cell for cell in self._ended if cell.state == "failed"]),
            *reversed([cell for cell in self._ended if cell.state == "done"]),
            *(cell for cell in cells if cell.state == "waiting"),
            *cells,
        ]
        chosen = {cell.name for cell in list({cell.name: cell for cell in order}.values())[:height]}
        return [cell for cell in cells if cell.name in chosen]


def _state(cell: Progress) -> str:
    if cell.state == "running":
        return f"round {min(cell.rounds, cell.job.rounds - 1)} of {cell.job.rounds - 1}"
    return cell.state


def _accuracy(cell: Progress) -> str:
    return "–" if cell.accuracy is None else fixed(cell.accuracy, 4)
