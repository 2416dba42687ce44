"""The command line: ``python -m msal_lightning COMMAND``.

Heavy imports happen inside the commands, so that light ones start at once.
"""

import os
import sys
from collections.abc import Callable

from msal_lightning.errors import UserError


def _fit(argv: list[str]) -> None:
    """Run an active-learning loop, or go on with one that was interrupted."""
    from msal_lightning.fit import fit

    fit(argv)


def _replay(argv: list[str]) -> None:
    """Train another model on the labels that a run bought, round by round, without a query."""
    from msal_lightning.fit import replay

    replay(argv)


def _sweep(argv: list[str]) -> int:
    """Run many fits: a grid of options, or the cells of the paper's tables; goes on where it was interrupted."""
    from msal_lightning.sweep.command import sweep

    return sweep(argv)


def _query(argv: list[str]) -> None:
    """Choose images of a folder to label with a trained model, once and without a loop."""
    from msal_lightning.one_shot import query

    query(argv)


def _label(argv: list[str]) -> None:
    """Take over a filled CSV file, which a run waits for; checked whole first."""
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser(prog="python -m msal_lightning label", description=_label.__doc__)
    parser.add_argument("run", type=Path, help="the run directory")
    parser.add_argument("file", type=Path, help="the file, as the contact sheet hands it out")
    options = parser.parse_args(argv)

    from msal_lightning.label import label

    label(options.run, options.file)


def _status(argv: list[str]) -> None:
    """Show how far runs are, what they wait for, and what more labels may add."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m msal_lightning status", description=_status.__doc__)
    parser.add_argument("runs", nargs="+", help="run directories")
    parser.add_argument(
        "--against", nargs="+", default=[], help="runs of Random to compare with (default: those in the same folder)"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    options = parser.parse_args(argv)

    from msal_lightning.status import status

    status(options.runs, options.against, options.json)


def _plot(argv: list[str]) -> None:
    """Draw budget curves, the short form of `figure budget`."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m msal_lightning plot", description=_plot.__doc__)
    parser.add_argument("runs", nargs="+", help="run directories, or folders of them")
    parser.add_argument("--out", default="budget_curves.png", help="the picture (default: %(default)s)")
    options = parser.parse_args(argv)

    from msal_lightning.figures.budget import plot

    plot(options.runs, options.out)


def _figure(argv: list[str]) -> None:
    """Draw a figure of the paper, or what each strategy chose: `figure KIND RUNS...`."""
    from msal_lightning.figures.command import figure

    figure(argv)


def _report(argv: list[str]) -> None:
    """Compare runs: table over seeds beside the paper's numbers, paired tests, and a page to look at."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m msal_lightning report", description=_report.__doc__)
    parser.add_argument(
        "runs", nargs="+", help="run directories, or folders of them; they differ in query, head and seed"
    )
    parser.add_argument(
        "--out", default="report", help="folder for report.md, .csv, .tex, .html (default: %(default)s)"
    )
    parser.add_argument("--logger", choices=["wandb"], help="log page, tables and files to Weights & Biases too")
    options = parser.parse_args(argv)

    from msal_lightning.report.command import report

    report(options.runs, options.out, options.logger)


def _check_strategy(argv: list[str]) -> int:
    """Check that a strategy keeps to the contract; your own too, by its dotted path."""
    from msal_lightning.check import check

    return check(argv)


def _strategies(argv: list[str]) -> None:
    """List the query strategies."""
    from msal_lightning.catalog import strategies

    strategies()


def _datasets(argv: list[str]) -> None:
    """List the datasets; `prepare NAME` fetches one, `show NAME` draws some of its images."""
    if argv and argv[0] in ("prepare", "show"):
        from msal_lightning import datasets as command

        (command.prepare if argv[0] == "prepare" else command.show)(argv[1:])
        return
    import argparse

    from msal_lightning.catalog import DATASETS_USAGE, datasets

    parser = argparse.ArgumentParser(usage=DATASETS_USAGE, allow_abbrev=False)
    parser.add_argument("--root", default="data")
    options, rest = parser.parse_known_args(argv)
    if rest:
        raise UserError(f"'datasets' knows prepare and show, got '{rest[0]}'")
    datasets(options.root)


COMMANDS: dict[str, Callable[[list[str]], int | None]] = {
    "fit": _fit,
    "replay": _replay,
    "sweep": _sweep,
    "query": _query,
    "label": _label,
    "status": _status,
    "plot": _plot,
    "figure": _figure,
    "report": _report,
    "check-strategy": _check_strategy,
    "strategies": _strategies,
    "datasets": _datasets,
}


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words behind the program's name; those of the process by default.

    Returns:
        Exit code: 0, 1 for a check that failed, 2 for a mistake that the user can mend, 130 after Ctrl-C, 141 where
        nobody reads what is printed, 143 after SIGTERM.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return 0 if argv else 2
    command, *rest = argv
    try:
        if command not in COMMANDS:
            raise UserError(f"expected a command ({', '.join(COMMANDS)}), got '{command}'{_near(command)}")
        if command == "strategies" and rest:
            if rest[0] in ("-h", "--help"):
                print(COMMANDS[command].__doc__)
                return 0
            raise UserError(f"'{command}' takes no arguments, got '{rest[0]}'")
        return COMMANDS[command](rest) or 0
    except UserError as error:
        if not error.told:
            print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has read enough; what Python still wants to write goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as interrupt:  # signals.Stopped among them, which knows more
        what = str(interrupt) or "interrupted"
        print(f"{what}: the same command goes on from there", file=sys.stderr)
        return 128 + int(getattr(interrupt, "signum", 2))


def console() -> None:
    """Entry point of the ``msal-lightning`` script."""
    sys.path.insert(0, "")  # as `python -m` does: a strategy of your own in the current folder is found
    sys.exit(main())


def _near(command: str) -> str:
    import difflib

    near = difflib.get_close_matches(command, COMMANDS, n=1)
    return f": did you mean {near[0]}?" if near else ""


def _help() -> str:
    commands = "\n".join(f"  {name:16}{command.__doc__}" for name, command in COMMANDS.items())
    return (
        "usage: python -m msal_lightning COMMAND [options]\n\n"
        "Maximally Separated Active Learning: train, query, label, repeat.\n\n"
        f"{commands}\n\n"
        "Start with:  python -m msal_lightning fit --config digits\n"
        "Options of a command:  python -m msal_lightning COMMAND --help"
    )
