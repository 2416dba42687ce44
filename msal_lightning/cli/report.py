"""The command ``report``."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msal_lightning.analysis.report.blocks import read_blocks
from msal_lightning.analysis.report.formats.csv import table_csv
from msal_lightning.analysis.report.formats.html import page
from msal_lightning.analysis.report.formats.latex import latex
from msal_lightning.analysis.report.formats.markdown import markdown, ranking_markdown
from msal_lightning.analysis.report.formats.terminal import show, show_ranking
from msal_lightning.analysis.report.ranking import rank_blocks
from msal_lightning.analysis.report.result import build
from msal_lightning.errors import ConfigError
from msal_lightning.io.atomic import write_atomically
from msal_lightning.io.console import SafeConsole
from msal_lightning.io.folder_mark import MARK, check_folder, claim_folder
from msal_lightning.io.own_files import remove_parts


def report(runs: Sequence[str], out: str = "report", logger: str | None = None) -> None:
    """Compare runs in the terminal, and write ``report.md``, ``.csv``, ``.tex`` and ``.html``.

    Args:
        runs: run directories, or folders of run directories.
        out: folder of the four files.
        logger: ``wandb`` also logs the report to Weights & Biases.

    Raises:
        UserError: the runs cannot be compared, the files cannot be written, or W&B cannot start.
    """
    _check(out)
    result = build([Path(run) for run in runs])
    texts = {"md": markdown(result), "csv": table_csv(result), "tex": latex(result), "html": page(result)}
    _write(out, {f"report.{ending}": text for ending, text in texts.items()})
    console = SafeConsole(highlight=False)
    show(result, console)
    console.print(f"Written: report.md, report.csv, report.tex and report.html in {out}", markup=False)
    if logger == "wandb":
        from msal_lightning.analysis.report.formats.wandb import log_report

        log_report(result, Path(out))


def report_across(runs: Sequence[str], out: str = "report") -> None:
    """Rank strategies over runs on several datasets, heads or budgets, and write ``ranks.md``.

    Args:
        runs: run directories, or folders of run directories.
        out: folder of the file.

    Raises:
        UserError: no two strategies can be compared, or the file cannot be written.
    """
    _check(out)
    blocks = read_blocks([Path(run) for run in runs])
    ranking = rank_blocks(blocks)
    _write(out, {"ranks.md": ranking_markdown(ranking, blocks.names)})
    console = SafeConsole(highlight=False)
    show_ranking(ranking, console)
    console.print(f"Written: ranks.md in {out}", markup=False)


def _check(out: str) -> None:
    try:
        check_folder(Path(out), "report", "--out", _made_before)
    except OSError as error:
        raise _cannot_write(out, error) from None


def _write(out: str, texts: Mapping[str, str]) -> None:
    """Write files by name into a folder of ours."""
    try:
        claim_folder(Path(out), "report", "--out", _made_before)
        remove_parts(Path(out), [*map(re.escape, texts), re.escape(MARK)])
        for name, text in texts.items():
            write_atomically(Path(out) / name, text)
    except OSError as error:
        raise _cannot_write(out, error) from None


def _made_before(folder: Path) -> bool:
    """Whether a folder is a report of a version that set no marks: its four files and nothing else."""
    names = {entry.name for entry in folder.iterdir()}
    if names != {"report.md", "report.csv", "report.tex", "report.html"}:
        return False
    return (folder / "report.csv").read_bytes().startswith(b"method,seeds,")


def _cannot_write(out: str, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write into '{out}' ({error.strerror or error}): set --out to a folder of yours")
