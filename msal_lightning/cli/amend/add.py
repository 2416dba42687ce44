"""``add``: images that arrive while a run lives."""

from pathlib import Path

from msal_lightning.cli.amend.amending import amending, amending_parser, check_begun, record, say_next
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.config.paths import a_path


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
        check_begun(run)
        from msal_lightning.cli.amend.new_images import find_new  # imports torch

        record(run, find_new(run, Path(options.folder), changes, options.trust), options.reason)
    say_next(run, "chooses among them too")
