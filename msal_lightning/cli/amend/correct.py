"""``correct``: other labels for images that were labeled before."""

from pathlib import Path

from msal_lightning.cli.amend.amending import amending, amending_parser, record, trained_request
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.config.paths import a_path
from msal_lightning.io.terminal import say
from msal_lightning.runs.directory import RunDirectory
from msal_lightning.runs.relabeled import read_corrections


def correct(argv: list[str]) -> None:
    """Correct labels that were given before; later fits use the new ones.

    Args:
        argv: ``RUN FILE``.

    Raises:
        UserError: the file names an image without a label, or an unknown class.
    """
    prog = f"{PROGRAM} correct"
    parser = amending_parser(
        prog,
        "Correct labels of any round. Later fits use the new labels; the records of earlier rounds stay as they are.",
        [f"{prog} runs/mine corrected.csv --reason 'zebra and horse were mixed up'"],
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        type=a_path,
        help="CSV with the columns path (or the index of the image, where there are no files) and label",
    )
    options = parser.parse_args(argv)
    with amending(options.run) as run:
        change = read_corrections(run, Path(options.file))
        trained = trained_request(run)
        done = len(run.records) if trained is None else trained + 1
        record(run, change, options.reason, done)
        RunDirectory(run.folder).derive_tables()  # the ledger shows the new labels
        counts = run.label_counts
    if counts and done == len(counts):
        say(f"the run is finished: `finish {options.run}` trains a model on the new labels, and `extend` queries more")
    else:
        say(f"the fits from round {done} on use them: `resume {options.run}` goes on")
