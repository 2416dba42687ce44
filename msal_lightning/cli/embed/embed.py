"""The command ``embed``. Nothing here imports torch before the options are read."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msal_lightning.cli.embed.options import read_options
from msal_lightning.config.command_parser import PROGRAM
from msal_lightning.errors import ConfigError
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted

if TYPE_CHECKING:
    from msal_lightning.cli.embed.parts import Parts
    from msal_lightning.embed.progress import EmbedProgress
    from msal_lightning.embed.run import Embedding

    Compute = Callable[[Embedding, Callable[[], None], EmbedProgress], None]


def embed(argv: list[str]) -> None:
    """Write a folder of features, or resume one that was interrupted.

    Args:
        argv: options of the command; ``--data`` and ``--model`` have options of their own.

    Raises:
        UserError: a mistake that the user can correct.
    """
    options = read_options(argv)
    from msal_lightning.io.folder_mark import check_folder

    with _about_out(options.out):
        check_folder(options.out, "set of features", "--out")
    if options.executor == "local":
        from msal_lightning.cli.embed.parts import prepare
        from msal_lightning.embed.sharded_rows import compute_here

        _run(options, prepare(options), compute_here)
        return
    from msal_lightning.cli.embed.parts import prepare_driver, prepare_words
    from msal_lightning.embed.cluster import Cluster

    cluster = Cluster(prepare_words, tuple(argv), options.cpus, options.gpus)
    try:
        _run(options, prepare_driver(options, cluster), cluster.compute)
    finally:
        cluster.close()


def _run(options: argparse.Namespace, parts: "Parts", compute: "Compute") -> None:
    from msal_lightning.io.folder_mark import claim_folder
    from msal_lightning.io.lock import DirectoryLock

    lock = DirectoryLock(options.out / "lock", "--out")
    with _about_out(options.out):
        claim_folder(options.out, "set of features", "--out")
        lock.acquire()
    try:
        _fill(options, parts, compute)
    finally:
        lock.close()


def _fill(options: argparse.Namespace, parts: "Parts", compute: "Compute") -> None:
    """Compute what the folder lacks, and print the result."""
    from msal_lightning.embed.progress import EmbedProgress
    from msal_lightning.embed.run import describe_source
    from msal_lightning.training.signals import GracefulShutdown

    work = parts.embedding
    manifest = work.begin(parts.manifest(describe_source(parts.data, options.out)))
    if manifest["finished"]:
        work.clean()
        say(f"'{options.out}' is complete: {_summary(manifest)}")
        return
    with GracefulShutdown() as stop, EmbedProgress(len(parts.rows)) as progress:
        stop.where = f"'{options.out}'"
        compute(work, stop.check, progress)
    manifest = work.finish(manifest)
    say(f"{_summary(manifest)} in '{options.out}' ({progress.rate:,.0f} images a second)")
    _say_next(options, manifest)


@contextmanager
def _about_out(out: Path) -> Iterator[None]:
    """Convert an error of the disk into a sentence about ``--out``."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot write --out '{out}' ({error.strerror or error}): set it to a folder of yours"
        ) from None


def _summary(manifest: dict[str, object]) -> str:
    model = manifest["model"]
    assert isinstance(model, dict)
    return f"{counted(int(str(manifest['rows'])), 'row')} of {model['dimension']:,} features"


def _say_next(options: argparse.Namespace, manifest: dict[str, object]) -> None:
    """Print what was left out, and the command that uses the features."""
    if skipped := int(str(manifest["skipped"])):
        say(f"{counted(skipped, 'image')} cannot be read and have no row: {options.out / 'skipped.csv'} lists them")
    say(f"next: {PROGRAM} fit --config embeddings --data.root {options.out}")
