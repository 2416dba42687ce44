"""``resume``: a run is resumed by its directory alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msal_lightning.cli.fit import fit
from msal_lightning.cli.run_config import protecting, read_for_fit
from msal_lightning.config.command_parser import PROGRAM, TRUST_HELP, CommandParser
from msal_lightning.config.paths import a_path
from msal_lightning.errors import ConfigError

_PARTS_OF_ONES_OWN = ("logger", "oracle", "wandb_images", "query_executor", "query_parts")
_FIXED = ("config", "c", "run_dir", "overwrite", "seed")


def resume(argv: list[str]) -> None:
    """Resume a run with its own configuration and amendments.

    Args:
        argv: ``RUN`` and options of ``fit`` that do not change results.

    Raises:
        UserError: see :func:`~msal_lightning.cli.fit.fit`, or ``RUN`` is no run directory.
    """
    prog = f"{PROGRAM} resume"
    parser = CommandParser(
        prog,
        usage=f"{prog} RUN [options of fit that do not change results]",
        description="Resume an interrupted, waiting or amended run. Its configuration is in the run directory.",
        examples=[f"{prog} runs/mine", f"{prog} runs/mine --data.root /mnt/photos"],
    )
    parser.add_argument("run", metavar="RUN", type=a_path, help="the run directory")
    parser.add_argument("--trust", action="append", default=[], metavar="DOTTED.PATH", help=TRUST_HELP)
    options, changes = parser.parse_known_args(argv)
    go_on(Path(options.run), changes, options.trust)


def go_on(
    run: Path,
    changes: Sequence[str],
    trusted: Sequence[str] = (),
    command: Callable[[list[str], Mapping[str, Any]], None] = fit,
) -> None:
    """Run ``fit`` with the configuration of a run, in its directory.

    Args:
        run: the run directory.
        changes: options of ``fit`` that do not change results.
        trusted: dotted paths of classes that a stranger's configuration may name.
        command: ``fit``, or another command with its arguments.

    Raises:
        UserError: see :func:`~msal_lightning.cli.fit.fit`, or the folder is no run directory.
    """
    for word in changes:
        key = word.partition("=")[0].lstrip("-")
        if word.startswith("-") and key in _FIXED:
            raise ConfigError(f"a run keeps its {key}, got '{word}': leave it out, or begin another run with `fit`")
    found = read_for_fit(run, "RUN", trusted, _PARTS_OF_ONES_OWN, ())
    with protecting(found, changes):
        command([*changes, "--run_dir", str(run)], found.values)
