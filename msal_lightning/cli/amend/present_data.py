"""The data of a run with all labels and amendments, for a command that changes the run."""

from collections.abc import Sequence

from msal_lightning.cli.run_config import protecting, read_for_fit
from msal_lightning.config.parser import as_user_error, build_parser, instantiate, parse
from msal_lightning.data.base import ActiveDataModule
from msal_lightning.errors import RunError
from msal_lightning.inference.rebuild import read_own_data
from msal_lightning.runs.changed_images import changed_images
from msal_lightning.runs.image_order import read_as_recorded
from msal_lightning.runs.moves import repeat_all
from msal_lightning.runs.reading import Run


def present_data(run: Run, changes: Sequence[str], trusted: Sequence[str]) -> ActiveDataModule:
    """Build the data of a run, and put each image where the records and amendments say.

    Args:
        run: with a finished round.
        changes: options of ``fit`` about the data.
        trusted: classes that a stranger's configuration may name.

    Raises:
        UserError: the data cannot be read, or is not that of the run.
    """
    found = read_for_fit(run.folder, "RUN", trusted, (), ())
    parser = build_parser()
    with as_user_error(), protecting(found, changes):
        data: ActiveDataModule = instantiate(parser, parse(parser, [*changes], base=found.values), "data").data
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
