"""``add`` and ``remove``: images that arrive while a run lives, or must go."""

from pathlib import Path

from msal_lightning.cli.amending import amending, amending_parser, record
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.config.paths import a_path
from msal_lightning.data.label_files.label_table import read_table, refuse_lines
from msal_lightning.errors import DataError, RunError
from msal_lightning.io.terminal import say
from msal_lightning.runs.amendments import Remove
from msal_lightning.runs.image_order import image_order, paths_at_start, removed_paths
from msal_lightning.runs.pending import all_pending
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
        argv: ``RUN FILE``.

    Raises:
        UserError: the file names an image that is not in the run.
    """
    prog = f"{PROGRAM} remove"
    parser = amending_parser(
        prog,
        "Remove images from pool, training and held-out labels of a run for good; their files may be deleted then. "
        "The records of earlier rounds stay as they are.",
        [f"{prog} runs/mine blurred.csv --reason 'consent was withdrawn'"],
    )
    parser.add_argument("file", metavar="FILE", type=a_path, help="CSV with the column path, as in ledger.csv")
    options = parser.parse_args(argv)
    with amending(options.run) as run:
        _check_begun(run)
        record(run, _removal(run, Path(options.file)), options.reason)
    _say_next(run, "trains without them")


def _check_begun(run: Run) -> None:
    if not run.records:
        raise RunError(
            f"expected a run with a finished round, got '{run.folder}' without one: change the folder of the images, "
            "and begin the run anew"
        )


def _removal(run: Run, file: Path) -> Remove:
    order = image_order(run.folder, run.amendments, run.records[0])
    train, test = (order.train, order.test) if order else paths_at_start(run.folder)
    place = {path: index for index, path in enumerate(train)}
    gone, tested, wrong, chosen = removed_paths(run.amendments), {*test}, list[str](), dict[int, str]()
    _, lines = read_table(file, ("path",), f"FILE '{file}'")
    for line in lines:
        path = line.fields["path"].removeprefix("./")
        if line.damage:
            wrong.append(line.damage)
        elif path in gone:
            wrong.append(f"line {line.number}: '{path}' was removed before")
        elif path in tested:
            wrong.append(f"line {line.number}: '{path}' is a test image; all rounds are tested on the same images")
        elif path not in place:
            wrong.append(f"line {line.number}: the run has no image '{path}'")
        elif place[path] in chosen:
            wrong.append(f"line {line.number}: '{path}' is there twice")
        else:
            chosen[place[path]] = path
    refuse_lines(wrong, f"FILE '{file}'")
    if not chosen:
        raise DataError(f"expected images of the run in FILE '{file}', got none: nothing to do")
    asked = {
        item.index for one in all_pending(run.folder) for exchange in one.exchanges for item in exchange.batch.items
    }
    if waiting := [path for row, path in chosen.items() if row in asked]:
        raise RunError(
            f"expected no images whose labels are requested now, got '{waiting[0]}': give it the label skip, and "
            "remove it after the next round"
        )
    labeled = {row for one in run.records for part, _ in one.moves() for row in part.index}
    left = len(train) - len(gone)
    return Remove(left, left - len(chosen), [*chosen], [*chosen.values()], len(labeled & chosen.keys()))


def _say_next(run: Run, what: str) -> None:
    if len(run.records) == len(run.label_counts or []):
        say(f"the run is finished: `{PROGRAM} extend {run.folder} --labels N` goes on and {what}")
    else:
        say(f"`{PROGRAM} resume {run.folder}` goes on and {what}")
