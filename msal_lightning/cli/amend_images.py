"""``add`` and ``remove``: images that arrive while a run lives, or must go."""

from pathlib import Path

from msal_lightning.cli.amending import amending, amending_parser, record
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.config.paths import a_path
from msal_lightning.errors import RunError
from msal_lightning.io.terminal import say
from msal_lightning.runs.reading import Run


def add(argv: list[str]) -> None:
    """Add images to the pool of a run.

    Args:
        argv: ``RUN FOLDER`` and options of ``fit`` about the data.

    Raises:
        UserError: the folder is not below data.root, or has no new images.
    """
    prog = f"{PROGRAM} add"
    parser = amending_parser(
        prog,
        "Add the images of a folder below data.root to the pool, or on data Embeddings the features in such a folder. "
        "Indices, test set and records stay as they are.",
        [f"{prog} runs/mine photos/week12 --reason 'the cards of June'", f"{prog} runs/mine features/week12"],
    )
    parser.add_argument("folder", metavar="FOLDER", type=a_path, help="data.root or a folder below it")
    options, changes = parser.parse_known_args(argv)
    with amending(options.run) as run:
        _check_begun(run)
        from msal_lightning.cli.new_images import find_new  # imports torch

        record(run, find_new(run, Path(options.folder), changes, options.trust), options.reason)
    _say_next(run, "chooses among them too")


def remove(argv: list[str]) -> None:
    """Remove images from a run, with their labels.

    Args:
        argv: ``RUN FILE`` and options of ``fit`` about the data.

    Raises:
        UserError: the file names an image that is not in the run.
    """
    prog = f"{PROGRAM} remove"
    parser = amending_parser(
        prog,
        "Remove images from pool, training and held-out labels of a run for good; image files may be deleted then, "
        "rows of features stay in their file. The records of earlier rounds stay as they are.",
        [f"{prog} runs/mine blurred.csv --reason 'consent was withdrawn'"],
    )
    columns = "CSV with the column path: as in ledger.csv, or the index there of an image without a path"
    parser.add_argument("file", metavar="FILE", type=a_path, help=columns)
    options, changes = parser.parse_known_args(argv)
    with amending(options.run) as run:
        _check_begun(run)
        from msal_lightning.cli.removed_images import find_removed  # imports torch

        record(run, find_removed(run, Path(options.file), changes, options.trust), options.reason)
    _say_next(run, "trains without them")


def _check_begun(run: Run) -> None:
    if not run.records:
        raise RunError(
            f"expected a run with a finished round, got '{run.folder}' without one: change the folder of the images, "
            "and begin the run anew"
        )


def _say_next(run: Run, what: str) -> None:
    if len(run.records) == len(run.label_counts or []):
        say(f"the run is finished: `{PROGRAM} extend {run.folder} --labels N` goes on and {what}")
    else:
        say(f"`{PROGRAM} resume {run.folder}` goes on and {what}")
