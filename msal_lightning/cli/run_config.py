"""The configuration of a run, for another ``fit``: ``replay`` and ``resume``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msal_lightning.config.trust import RunConfig, read_config
from msal_lightning.data.batches.read_only import read_only
from msal_lightning.errors import ConfigError
from msal_lightning.io.terminal import say
from msal_lightning.runs.changes import knows_trainer
from msal_lightning.runs.config import flatten

PARTS = ("seed", "loop", "query", "data", "model", "trainer")
"""Keys that affect the result of a run."""


def read_for_fit(
    run: Path, option: str, trusted: Sequence[str], of_ones_own: Sequence[str], leave_out: Sequence[str]
) -> RunConfig:
    """Read a run's configuration, and say what is not taken over.

    Args:
        run: the run directory.
        option: argument that names it.
        trusted: see :func:`~msal_lightning.config.trust.read_config`, as the other arguments.
        of_ones_own: see there.
        leave_out: see there.

    Raises:
        ConfigError: the folder is no run directory, or see there.
    """
    if not (run / "config.yaml").is_file():
        raise ConfigError(f"expected {option} to be a run directory, found no '{run / 'config.yaml'}': see `ls runs`")
    found = read_config(run, PARTS, trusted, of_ones_own, leave_out)
    if not knows_trainer(flatten(found.values)):
        say(f"('{run}' is of a version that kept few options of the Trainer: give yours again, as --trainer.KEY VALUE)")
    if found.left_out:
        say(f"({' and '.join(found.left_out)} of '{run}' are left out: it was not made by your `fit`)")
    return found


@contextmanager
def protecting(found: RunConfig, changes: Sequence[str]) -> Iterator[None]:
    """Write nothing into folders that only a stranger's configuration names.

    Args:
        found: the configuration.
        changes: the user's options, which may name ``data.root``.
    """
    names_root = any(word.partition("=")[0] in ("--data.root", "--data.init_args.root") for word in changes)
    with read_only(not found.own and not names_root):
        yield
