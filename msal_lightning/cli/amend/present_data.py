"""The data of a run with all labels and amendments, for a command that changes the run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msal_lightning.cli.run_config import protecting, read_for_fit
from msal_lightning.config.parser import as_user_error, build_parser, instantiate, parse
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import RunError
from msal_lightning.inference.rebuild import read_own_data
from msal_lightning.runs.changed_images import changed_images
from msal_lightning.runs.image_order import read_as_recorded
from msal_lightning.runs.moves import repeat_all
from msal_lightning.runs.reading import Run


@contextmanager
def data_of(run: Run, changes: Sequence[str], trusted: Sequence[str]) -> Iterator[ActiveDataModule]:
    """Build the data module of a run, before ``setup``; nothing is written into folders that only a stranger names.

    Args:
        run: the run.
        changes: options of ``fit`` about the data.
        trusted: classes that a stranger's configuration may name.
    """
    found = read_for_fit(run.folder, "RUN", trusted, (), ())
    parser = build_parser()
    with as_user_error(), protecting(found, changes):
        yield instantiate(parser, parse(parser, [*changes], base=found.values), "data").data


def present_data(run: Run, changes: Sequence[str], trusted: Sequence[str]) -> ActiveDataModule:
    """Build the data of a run, and put each image where the records and amendments say.

    Args:
        run: with a finished round.
        changes: see :func:`data_of`.
        trusted: see there.

    Raises:
        UserError: the data cannot be read, or is not that of the run.
    """
    with data_of(run, changes, trusted) as data:
        read_as_recorded(data, run.folder, run.amendments, run.records[0])
        read_own_data(data)
    change = changed_images(data, run.folder, run.records[0])
    try:
        repeat_all(data, run, run.records)
    except ValueError as error:
        change = change or str(error)
    if change:
        raise RunError(f"expected the images of the run '{run.folder}', got others ({change}): restore the former data")
    return data
