"""The command line: ``python -m msal_lightning COMMAND``.

Heavy imports happen inside the commands, so that light ones start at once.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from msal_lightning.errors import UserError
from msal_lightning.io.crash import crash_sentence, disk_sentence
from msal_lightning.io.streams import make_output_safe
from msal_lightning.io.terminal import say


def _fit(argv: list[str]) -> None:
    """Run an active-learning loop, or resume an interrupted one."""
    from msal_lightning.cli.fit import fit

    fit(argv)


def _replay(argv: list[str]) -> None:
    """Train another model on the labels that a run queried, round by round, without a query."""
    from msal_lightning.cli.fit import replay

    replay(argv)


def _resume(argv: list[str]) -> None:
    """Resume an interrupted, waiting or amended run, by its directory alone."""
    from msal_lightning.cli.resume import resume

    resume(argv)


def _extend(argv: list[str]) -> None:
    """Query more labels than a run was planned for."""
    from msal_lightning.cli.amend.extend import extend

    extend(argv)


def _finish(argv: list[str]) -> None:
    """End a run with the labels that it has: train and test the last model on all of them."""
    from msal_lightning.cli.amend.finish import finish

    finish(argv)


def _correct(argv: list[str]) -> None:
    """Correct labels of any round by a CSV file; later fits use the new ones."""
    from msal_lightning.cli.amend.correct import correct

    correct(argv)


def _suspects(argv: list[str]) -> None:
    """List the labels that a run's model doubts, with a page to label them again for `correct`."""
    from msal_lightning.cli.suspects import suspects

    suspects(argv)


def _add(argv: list[str]) -> None:
    """Add images to the pool of a run."""
    from msal_lightning.cli.amend.add import add

    add(argv)


def _remove(argv: list[str]) -> None:
    """Remove images from a run by a CSV file, with their labels."""
    from msal_lightning.cli.amend.remove import remove

    remove(argv)


def _classes(argv: list[str]) -> None:
    """Rename, merge or split classes of a run."""
    from msal_lightning.cli.amend.classes import classes

    classes(argv)


def _archive(argv: list[str]) -> None:
    """Pack a run into one file, to keep or to share it."""
    from msal_lightning.cli.archive import archive

    archive(argv)


def _sweep(argv: list[str]) -> int:
    """Run many fits: a grid of options, or cells of the paper's tables; or resume an interrupted sweep."""
    from msal_lightning.cli.sweep import sweep

    return sweep(argv)


def _query(argv: list[str]) -> None:
    """Choose images of a folder to label with a trained model, once and without a loop."""
    from msal_lightning.cli.query import query

    query(argv)


def _predict(argv: list[str]) -> None:
    """Predict the classes of new images with the model of a run: a CSV file."""
    from msal_lightning.cli.predict import predict

    predict(argv)


def _threshold(argv: list[str]) -> None:
    """Choose the probability from which an image belongs to a rare class, on held-out labels."""
    from msal_lightning.cli.threshold import threshold

    threshold(argv)


def _export(argv: list[str]) -> None:
    """Write the model of a run for other programs: torch-export, onnx or state-dict, with a model card."""
    from msal_lightning.cli.export import export

    export(argv)


def _embed(argv: list[str]) -> None:
    """Compute features of images with a pretrained network, for fits on features."""
    from msal_lightning.cli.embed.embed import embed

    embed(argv)


def _serve(argv: list[str]) -> None:
    """Label the images of a run on a page in the browser, while it fits and queries."""
    from msal_lightning.cli.serve import serve

    serve(argv)


def _label(argv: list[str]) -> None:
    """Check a filled CSV file, and copy its labels into the run that waits for them."""
    from msal_lightning.config.command_parser import PROGRAM, CommandParser
    from msal_lightning.config.paths import a_path

    parser = CommandParser(
        f"{PROGRAM} label",
        description=_label.__doc__,
        examples=[
            f"{PROGRAM} label runs/mine round-001.csv",
            f"{PROGRAM} label runs/mine round-001.csv --annotator anna",
        ],
    )
    parser.add_argument("run", metavar="RUN", type=a_path, help="the run directory")
    parser.add_argument("file", metavar="FILE", type=a_path, help="the CSV file that the contact sheet saved")
    who = "who filled in the file (default: its column annotator)"
    parser.add_argument("--annotator", metavar="NAME", help=who)
    options = parser.parse_args(argv)

    from msal_lightning.cli.label import label

    label(options.run, options.file, options.annotator)


def _labels(argv: list[str]) -> None:
    """Write the labels that a run has so far into a file: CSV, COCO, Label Studio, FiftyOne or Hugging Face."""
    from msal_lightning.config.command_parser import PROGRAM, CommandParser
    from msal_lightning.config.paths import a_path
    from msal_lightning.data.label_files.writing import FORMATS

    parser = CommandParser(
        f"{PROGRAM} labels",
        description="Write the labels that a run has so far into a file, by class names, with round, annotator and "
        "score. `--data.labels FILE` of `fit` reads each of these formats.",
        examples=[
            f"{PROGRAM} labels runs/mine --out labels.csv",
            f"{PROGRAM} labels runs/mine --out labels.json --format coco",
        ],
    )
    parser.add_argument("run", metavar="RUN", type=a_path, help="the run directory")
    parser.add_argument("--out", required=True, metavar="FILE", type=a_path, help="the new file; for hf a new folder")
    parser.add_argument("--format", choices=FORMATS, default="csv", help="format of the file (default: %(default)s)")
    parser.add_argument("--data.root", dest="root", metavar="FOLDER", type=a_path, help="images that have moved")
    options = parser.parse_args(argv)

    from msal_lightning.cli.labels import labels

    labels(options.run, options.out, options.format, options.root)


def _status(argv: list[str]) -> None:
    """Show how far runs are, which labels they wait for, and the expected gain from more labels."""
    from msal_lightning.config.command_parser import PROGRAM, RUNS_HELP, CommandParser
    from msal_lightning.config.paths import expand

    parser = CommandParser(
        f"{PROGRAM} status",
        description=_status.__doc__,
        examples=[
            f"{PROGRAM} status runs",
            f"{PROGRAM} status runs/mine",
            f"{PROGRAM} status runs/mine --against runs/random-seed0 runs/random-seed1",
            f"{PROGRAM} status runs/mine --json",
        ],
    )
    parser.add_argument("runs", nargs="+", metavar="RUNS", type=expand, help=RUNS_HELP)
    parser.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="RUNS",
        type=expand,
        help="runs of Random to compare with (default: those beside each run)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for other programs to read")
    options = parser.parse_args(argv)

    from msal_lightning.cli.status import status

    status(options.runs, options.against, options.json)


def _plot(argv: list[str]) -> None:
    """Draw test accuracy over labels; short for `figure budget`."""
    from msal_lightning.config.command_parser import PROGRAM, RUNS_HELP, CommandParser
    from msal_lightning.config.paths import expand

    parser = CommandParser(
        f"{PROGRAM} plot",
        description=_plot.__doc__,
        examples=[f"{PROGRAM} plot runs", f"{PROGRAM} plot runs/a runs/b --out curves.pdf"],
    )
    parser.add_argument("runs", nargs="+", metavar="RUNS", type=expand, help=RUNS_HELP)
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=expand,
        default="budget_curves.png",
        help="the picture: png, svg or pdf (default: %(default)s)",
    )
    options = parser.parse_args(argv)

    from msal_lightning.analysis.figures.budget import plot

    plot(options.runs, options.out)


def _figure(argv: list[str]) -> None:
    """Draw a figure of the paper, a confusion matrix, or the queried images: `figure KIND RUNS...`."""
    from msal_lightning.cli.figure import figure

    figure(argv)


def _report(argv: list[str]) -> None:
    """Compare runs: a table over seeds beside the paper's numbers, paired tests, and an HTML page."""
    from msal_lightning.config.command_parser import PROGRAM, RUNS_HELP, CommandParser
    from msal_lightning.config.paths import expand

    parser = CommandParser(
        f"{PROGRAM} report",
        description=_report.__doc__,
        examples=[
            f"{PROGRAM} report runs",
            f"{PROGRAM} report runs/a runs/b --out comparison",
            f"{PROGRAM} report runs/mnist runs/digits --across",
        ],
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUNS",
        type=expand,
        help=f"{RUNS_HELP}; the runs may differ in query, head, lag and seed",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=expand,
        default="report",
        help="folder for report.md, .csv, .tex and .html, or ranks.md (default: %(default)s)",
    )
    parser.add_argument("--logger", choices=["wandb"], help="also log page, tables and files to Weights & Biases")
    across = "rank strategies over several datasets, heads or budgets instead; writes ranks.md"
    parser.add_argument("--across", action="store_true", help=across)
    options = parser.parse_args(argv)
    if options.across and options.logger:
        parser.error("expected --across without --logger, got both: leave one of them out")

    from msal_lightning.cli.report import report, report_across

    if options.across:
        report_across(options.runs, options.out)
        return
    report(options.runs, options.out, options.logger)


def _check_strategy(argv: list[str]) -> int:
    """Check that a strategy follows the contract, also your own by its dotted path."""
    from msal_lightning.cli.check_strategy import check

    return check(argv)


def _strategies(argv: list[str]) -> None:
    """List the query strategies."""
    from msal_lightning.config.command_parser import PROGRAM, CommandParser

    CommandParser(f"{PROGRAM} strategies", description=_strategies.__doc__).parse_args(argv)

    from msal_lightning.config.catalog import strategies

    strategies()


def _datasets(argv: list[str]) -> None:
    """List the datasets; `prepare NAME` fetches one, `show NAME` draws some of its images, `check NAME` finds leaks."""
    if argv and argv[0] in ("prepare", "show"):
        from msal_lightning.cli import datasets as command

        (command.prepare if argv[0] == "prepare" else command.show)(argv[1:])
        return
    if argv and argv[0] == "check":
        from msal_lightning.cli.check_dataset import check

        check(argv[1:])
        return
    from msal_lightning.config.catalog import datasets
    from msal_lightning.config.command_parser import PROGRAM, CommandParser
    from msal_lightning.config.paths import expand
    from msal_lightning.io.suggestions import did_you_mean

    prog = f"{PROGRAM} datasets"
    parser = CommandParser(
        prog,
        usage=f"{prog} [--root FOLDER]\n       {prog} prepare NAME [--data.KEY VALUE ...]\n"
        f"       {prog} show NAME [--out FILE] [--data.KEY VALUE ...]\n"
        f"       {prog} check NAME [--distance BITS] [--data.KEY VALUE ...]",
        description="List the datasets, and whether their files are in FOLDER. `prepare` fetches, verifies and reads a "
        "dataset before the first run. `show` draws some images of each class, to check labels and colours. `check` "
        "counts groups and near-duplicate images in both the training split and the test set.",
        examples=[prog, f"{prog} prepare MNIST", f"{prog} show CIFAR10 --out cifar10.png"],
    )
    parser.add_argument(
        "--root", metavar="FOLDER", type=expand, default="data", help="folder of the files (default: %(default)s)"
    )
    options, rest = parser.parse_known_args(argv)
    if rest and not rest[0].startswith("-"):
        near = did_you_mean(rest[0], ("prepare", "show", "check"))
        raise UserError(f"expected 'datasets' alone, or 'datasets' with prepare, show or check, got '{rest[0]}'{near}")
    if rest:
        parser.refuse(rest[0])
    datasets(options.root)


COMMANDS: dict[str, Callable[[list[str]], int | None]] = {
    "fit": _fit,
    "resume": _resume,
    "extend": _extend,
    "finish": _finish,
    "correct": _correct,
    "suspects": _suspects,
    "add": _add,
    "remove": _remove,
    "classes": _classes,
    "archive": _archive,
    "replay": _replay,
    "sweep": _sweep,
    "query": _query,
    "predict": _predict,
    "threshold": _threshold,
    "export": _export,
    "embed": _embed,
    "serve": _serve,
    "label": _label,
    "labels": _labels,
    "status": _status,
    "plot": _plot,
    "figure": _figure,
    "report": _report,
    "check-strategy": _check_strategy,
    "strategies": _strategies,
    "datasets": _datasets,
}


_GROUPS = {
    "run a loop": ("fit", "resume", "sweep", "replay"),
    "label": ("serve", "label", "labels", "suspects", "correct"),
    "change a run": ("extend", "finish", "add", "remove", "classes", "archive"),
    "look at runs": ("status", "report", "plot", "figure"),
    "use a network": ("predict", "threshold", "export", "query", "embed"),
    "reference": ("strategies", "check-strategy", "datasets"),
}
_OF_ONES_OWN = ("fit", "sweep", "check-strategy", "embed")  # they read the user's own words only


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; by default those of the process.

    Returns:
        Exit code: 0; 1 for a failed check or a bug; 2 for a mistake that the user can correct; 130 after Ctrl-C; 141 if
        the reader of the output has closed the pipe; 143 after SIGTERM.
    """
    make_output_safe()
    # torch's threads would wait for each other in busy loops, which slows a fit down beside another
    # busy process; OpenMP reads the variable once, when torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    argv = sys.argv[1:] if argv is None else argv
    try:
        if not argv or argv[0] in ("-h", "--help"):
            say(_help())
            return 0 if argv else 2
        command, *rest = argv
        _check_current_folder()
        if command not in COMMANDS:
            raise UserError(f"expected a command ({', '.join(COMMANDS)}), got '{command}'{_near(command)}")
        return COMMANDS[command](rest) or 0
    except UserError as error:
        if not error.reported:
            _say_error(str(error))
        return 2
    except BrokenPipeError:  # `| head` has read enough; the rest of the output goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as interrupt:  # including signals.Stopped, whose text says more
        what = str(interrupt) or "interrupted"
        say(f"{what}: the same command resumes from there", file=sys.stderr)
        return 128 + int(getattr(interrupt, "signum", 2))
    except Exception as error:
        sentence = disk_sentence(error) if isinstance(error, OSError) else None
        _say_error(sentence or crash_sentence(error))
        return 2 if sentence else 1


def _say_error(sentence: str) -> None:
    try:
        say(f"error: {sentence}", file=sys.stderr)
    except OSError:  # the reader is gone; the exit code reports the error too
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for what is flushed at the end


def _check_current_folder() -> None:
    try:
        Path.cwd()
    except OSError:
        raise UserError("the current folder is gone: change into an existing one, `cd ~` for example") from None


def console() -> None:
    """Entry point of the ``msal-lightning`` script, and of ``python -m msal_lightning``."""
    _find_modules_in_start_folder(sys.argv[1:2])
    sys.exit(main())


def _find_modules_in_start_folder(command: list[str]) -> None:
    """Let imports find your own strategy in the current folder, even after the parser has changed folders.

    Commands that read run directories search this folder last: it may be a stranger's, and a file ``sklearn.py`` in it
    must not replace the library.
    """
    if sys.flags.safe_path:
        return
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib need not be loaded from there
    except OSError:
        return
    if sys.path and sys.path[0] in ("", here):  # `python -m` put it there
        del sys.path[0]
    sys.path.insert(0 if command and command[0] in _OF_ONES_OWN else len(sys.path), here)


def _near(command: str) -> str:
    from msal_lightning.io.suggestions import did_you_mean

    return did_you_mean(command, COMMANDS)


def _help() -> str:
    commands = "\n\n".join(
        "\n".join([f"{title}:", *(f"  {name:16}{COMMANDS[name].__doc__}" for name in names)])
        for title, names in _GROUPS.items()
    )
    return (
        "usage: python -m msal_lightning COMMAND [options]\n\n"
        "Maximally Separated Active Learning: train, query, label, repeat.\n\n"
        f"{commands}\n\n"
        "Start with:  python -m msal_lightning fit --config digits\n"
        "Options of a command:  python -m msal_lightning COMMAND --help"
    )
