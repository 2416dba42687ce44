"""The command ``suspects``. Nothing here imports torch before the options are read."""

import argparse
from pathlib import Path

from msal_lightning.cli.run_options import add_run, add_run_options, data_words, number
from msal_lightning.config.command_parser import PROGRAM, CommandParser
from msal_lightning.config.paths import a_path
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted

PROG = f"{PROGRAM} suspects"


def suspects(argv: list[str]) -> None:
    """Find the labels of a run that its model doubts, and write a CSV file and a page to label them again.

    Args:
        argv: options of the command.

    Raises:
        UserError: a mistake that the user can correct.
    """
    options = _parse(argv)
    file = _file(options.out)
    from msal_lightning.arrays.label_issues import FOLDS
    from msal_lightning.inference.devices import device_of
    from msal_lightning.inference.suspect_files import refuse_existing, write_suspects
    from msal_lightning.inference.suspects import doubted_labels

    refuse_existing(file)
    found = doubted_labels(options.run, device_of(options.device, "--device"), data_words(options), options.trust)
    for name, count in found.left_out.items():
        say(f"class '{name}' is left out: {counted(count, 'label')}, and {FOLDS} are needed")
    total = len(found.suspects)
    if not total:
        say(f"none of {counted(found.checked, 'label')} is suspect")
        return
    shown = found.suspects[: options.number]
    page = write_suspects(found, shown, file)
    first = f"; the {len(shown):,} most doubtful ones are written (--number)" if len(shown) < total else ""
    say(f"{total:,} of {counted(found.checked, 'label')} {'is' if total == 1 else 'are'} suspect{first}: {file}")
    how = f"open {page} and save the CSV file" if page else "fill in the column label where the label is wrong"
    say(f"{how}; then: {PROGRAM} correct {options.run} {file.name if page else file}")


def _file(out: Path) -> Path:
    return out if out.suffix.lower() == ".csv" else out / "suspects.csv"


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = CommandParser(
        PROG,
        usage=f"{PROG} RUN --out FOLDER_OR_FILE [options]",
        description="Find labels that are probably wrong, by confident learning (arXiv 1911.00068): a linear "
        "classifier on the embeddings of the run's last model, or on the features of data Embeddings, predicts each "
        "label after training on others (five folds). The command writes a CSV file and, beside it, a contact sheet "
        "to label these images again. `correct RUN FILE.csv` reads the file; blank lines change nothing.",
        examples=[
            f"{PROG} runs/mine --out suspects.csv",
            f"{PROG} runs/mine --out check --number 60",
        ],
    )
    add_run(parser)
    add = parser.add_argument
    add("--out", required=True, type=a_path, metavar="PATH", help="a file that ends in .csv, or a folder for it")
    add("--number", type=number(1), metavar="N", help="write at most N labels, the most doubtful ones")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)")
    add_run_options(parser)
    options: argparse.Namespace = parser.parse_args(argv)
    return options
