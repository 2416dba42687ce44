"""Options that ``predict`` and ``export`` share. Nothing here imports torch."""

import argparse
from collections.abc import Callable

from msal_lightning.config.command_parser import TRUST_HELP, CommandParser
from msal_lightning.config.paths import a_path

RUN_HELP = "a run directory, which stands for its last model, or a checkpoint in it"


def add_run(parser: CommandParser) -> None:
    """Add the run, as the first word of the command."""
    parser.add_argument("run", metavar="RUN", type=a_path, help=RUN_HELP)


def add_run_options(parser: CommandParser) -> None:
    """Add what a command needs to open a run, at the end of its options."""
    parser.add_argument(
        "--data.root",
        dest="data_root",
        type=a_path,
        metavar="FOLDER",
        help="the run's own data, where they have moved; only some datasets are read again",
    )
    parser.add_argument("--trust", action="append", default=[], metavar="DOTTED.PATH", help=TRUST_HELP)


def data_words(options: argparse.Namespace) -> list[str]:
    """Return the options of the run's data as ``fit`` takes them."""
    return [] if options.data_root is None else [f"--data.root={options.data_root}"]


def number(least: int) -> Callable[[str], int]:
    """Return a converter of an option that takes whole numbers."""

    def convert(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got '{text}'")
        return int(text)

    return convert
