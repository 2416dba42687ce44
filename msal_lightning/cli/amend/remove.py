"""``remove``: images that must go."""

from pathlib import Path

from msal_lightning.cli.amend.amending import amending, amending_parser, check_begun, record, say_next
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.config.paths import a_path


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
        check_begun(run)
        from msal_lightning.cli.amend.removed_images import find_removed  # imports torch

        record(run, find_removed(run, Path(options.file), changes, options.trust), options.reason)
    say_next(run, "trains without them")
