"""``query``: choose images of a folder to label, once, with a trained model and without a loop."""

import argparse
import os
import re
from pathlib import Path
from typing import Literal

import torch
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch.utils.data import DataLoader

from msal_lightning.config.command_parser import PROGRAM, TRUST_HELP, CommandParser
from msal_lightning.config.parser import as_user_error
from msal_lightning.config.paths import a_path
from msal_lightning.data import ActiveDataModule
from msal_lightning.data.batches.loading import Batch
from msal_lightning.data.batches.read_only import read_only
from msal_lightning.data.fingerprint import find_by_content, is_same_file
from msal_lightning.datasets import ImageFolder
from msal_lightning.errors import ConfigError, UserError
from msal_lightning.inference.rebuild import Rebuilt, read_own_data, rebuild
from msal_lightning.io.folder_mark import MARK, check_folder, claim_folder
from msal_lightning.io.own_files import remove_parts
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted
from msal_lightning.loop.display import RoundProgress
from msal_lightning.models.predictor import Predictor
from msal_lightning.oracles.base import LabelingBatch
from msal_lightning.oracles.csv_files.contact_sheet import write_sheet
from msal_lightning.oracles.csv_files.csv_file import write_csv
from msal_lightning.oracles.tasks import make_items
from msal_lightning.query.callback import Query, leave_in_pool
from msal_lightning.runs.trained_model import Trained, read_trained
from msal_lightning.strategies import Strategy
from msal_lightning.training.failures import explained
from msal_lightning.training.lightning_noise import quiet_lightning
from msal_lightning.training.precision import choose_precision
from msal_lightning.training.signals import GracefulShutdown

PROG = f"{PROGRAM} query"
NAME = "query"
_PASSED_ON = ("--query.", "--data.", "--seed", "--trainer.accelerator", "--trainer.precision")


def query(argv: list[str]) -> None:
    """Score all images below a folder, choose some, and write a CSV file and a page to label them.

    Args:
        argv: options of the command; those of the strategy are as in ``fit``.

    Raises:
        UserError: a mistake that the user can correct.
    """
    options, rest = _parse(argv)
    table, page = options.out / f"{NAME}.csv", options.out / f"{NAME}.html"
    if table.exists():
        raise ConfigError(f"'{table}' exists already and may contain labels: set --out to another folder")
    try:
        check_folder(options.out, "query", "--out")
    except OSError as error:
        raise _cannot_write(options.out, error) from None
    trained = read_trained(options.checkpoint)
    rebuilt = rebuild(
        trained, [*(["--query", options.query] if options.query else []), *rest], options.trust, with_query=True
    )
    strategy, own, model, config = rebuilt.query, rebuilt.data, rebuilt.model, rebuilt.config
    _check_head(strategy, rebuilt)
    with read_only(not rebuilt.may_write):
        data = _read_images(options.images, options.on_error, trained, own, strategy)
    n = min(options.n, data.num_pool)
    if n < options.n:
        say(f"(--n is {options.n}, and there {'is' if n == 1 else 'are'} {counted(n, 'image')})")
    callback = Query(strategy, n, config.seed, trained.round, receive=leave_in_pool)
    with isolate_rng(), quiet_lightning(), explained(data.num_workers), GracefulShutdown() as stop:
        stop.where = "the query"
        trainer = _trainer(config, callback, stop)
        if strategy.needs:
            trainer.predict(model, datamodule=data, return_predictions=False)
        else:
            callback.select_without_pass(data)
        stop.check()
        batch = LabelingBatch(
            NAME, make_items(data, callback.selection, Predictor(model, trainer)), data.class_names, options.out
        )
        stop.check()
    try:
        claim_folder(options.out, "query", "--out")
        remove_parts(options.out, [rf"{NAME}\.(csv|html)", re.escape(MARK)])
        write_sheet(batch, page, decoding=data.decoding, about=data.describe())
        write_csv(batch, table)  # last, since this file marks the query as done
    except OSError as error:
        raise _cannot_write(options.out, error) from None
    say(
        f"{strategy.name} chose {n} of {counted(data.num_pool, 'image')}: fill in {table}, or open {page} to label "
        f"{'it' if n == 1 else 'them'} by keys"
    )


def _cannot_write(out: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write into '{out}' ({error.strerror or error}): set --out to a folder of yours")


def _parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of this command, and the words that ``fit`` can parse."""
    parser = CommandParser(
        PROG,
        description="Choose images of a folder to label, with a trained model. The command writes query.csv, with an "
        "empty column label, and query.html, a page to label the images with keys. It leaves out images that the run "
        "has labels of.\n\nThese options work as in fit: --seed, --trainer.accelerator, --trainer.precision, and for "
        "the run's own data --data.root and --data.eval_batch_size.",
        examples=[
            f"{PROG} --checkpoint runs/mine --images photos --n 100",
            f"{PROG} --checkpoint runs/mine/checkpoints/round-003.ckpt --images photos --n 100 --query MSALD "
            "--query.beta 5",
        ],
    )
    add = parser.add_argument
    add("--checkpoint", required=True, type=a_path, metavar="PATH", help="a run directory, or a checkpoint in it")
    add("--images", required=True, type=a_path, metavar="FOLDER", help="folder of images; its subfolders count too")
    add("--n", required=True, type=int, help="how many images to choose")
    add("--query", metavar="NAME", help="the strategy, with --query.OPTION as in fit (default: the run's own)")
    add(
        "--out",
        type=a_path,
        metavar="FOLDER",
        default=Path(NAME),
        help="folder for the two files (default: %(default)s)",
    )
    add("--trust", action="append", default=[], metavar="DOTTED.PATH", help=TRUST_HELP)
    add("--on_error", choices=["raise", "skip"], default="raise", help="refuse unreadable images, or skip them")
    options, rest = parser.parse_known_args(argv)
    expects_value = False
    for word in rest:
        if word.startswith("-") and not word.lstrip("-")[:1].isdigit() and not word.startswith(_PASSED_ON):
            parser.refuse(word)
        if not word.startswith("-") and not expects_value:
            parser.refuse(word)
        expects_value = word.startswith("-") and "=" not in word
    if options.n < 1:
        raise ConfigError(f"expected --n to be at least 1, got {options.n}: it is how many images to choose")
    return options, rest


def _check_head(strategy: Strategy, rebuilt: Rebuilt) -> None:
    if strategy.needs_prototypes and rebuilt.model.head_name != "prototype":
        raise ConfigError(
            f"query {strategy.name} needs prototypes, but the model in '{rebuilt.trained.file}' has a "
            f"{rebuilt.model.head_name} head: set --query to a strategy without prototypes, Margin for example"
        )


def _read_images(
    folder: Path, on_error: Literal["raise", "skip"], trained: Trained, own: ActiveDataModule, strategy: Strategy
) -> "Candidates":
    """Read the images to choose from, and the run's labeled images if the strategy needs them."""
    size = own.size if isinstance(own, ImageFolder) else None
    names = trained.class_names
    memory, workers = (own.memory, own.workers) if isinstance(own, ImageFolder) else ("auto", None)
    if strategy.needs_labels and trained.run.amendments.regrouped(trained.round + 1):
        raise ConfigError(
            f"query {strategy.name} needs labels of the classes that '{trained.file}' knows, but some were merged or "
            f"split since: `resume {trained.run.folder}` trains a model of the present ones"
        )
    if strategy.needs_labeled:
        try:
            read_own_data(own)
            trained.restore_labels(own)
        except UserError as error:
            raise ConfigError(
                f"query {strategy.name} needs the labeled images of '{trained.run.folder}', which cannot be read "
                f"({error}): or set --query to a strategy that does not need them, Margin for example"
            ) from None
    elif names is None or size is None:
        read_own_data(own)
    data = Candidates(
        folder,
        own,
        classes=[*(names or own.class_names)][: trained.num_classes],
        size=size or own.images.shape[-1],
        in_memory=memory,
        num_workers=workers,
        on_error=on_error,
        group=own.group if strategy.needs_groups and isinstance(own, ImageFolder) else None,
    )
    try:
        data.setup()
        data.split.test_only = None  # nothing is tested here
    except UserError as error:  # the key of a configuration is an option here
        words = str(error).replace("data.root", "--images").replace("data.on_error to", "--on_error to")
        raise ConfigError(words) from None
    labeled = _labeled_before(data, Path(own.root), trained) if isinstance(own, ImageFolder) else []
    data.split.leave_out(torch.tensor(labeled, dtype=torch.int64))
    if labeled:
        say(f"(left out {counted(len(labeled), 'image')} that '{trained.run.folder}' has queried before)")
    if not data.num_pool:
        raise ConfigError(f"expected images without labels below --images '{folder}', found none: add some")
    return data


def _labeled_before(data: "Candidates", root: Path, trained: Trained) -> list[int]:
    """Return the indices of images that the run has labels of, matched by path below its folder, else by content.

    Raises:
        ConfigError: the run's folder is missing, and the run has no content fingerprints (former versions).
    """
    paths, known = trained.labeled_paths, trained.labeled_prints()
    there = {path for path in paths if (root / path).is_file()}
    if any(path in known and not is_same_file(known[path], str(root / path)) for path in there):
        there = set()  # another folder with the same names
    found = {*data.also_in(root, there)}
    missing = paths - there
    if missing and known:
        files = [str(file) for file in data.locations(torch.arange(len(data.labeled_at)))]
        found |= {*find_by_content(files, [image for path, image in known.items() if path in missing])}
    elif missing and not there and data.may_have(missing):
        raise ConfigError(
            f"cannot tell which images in --images '{data.root}' the run '{trained.run.folder}' has labels of, because "
            f"its own images are not below data.root '{root}': set --data.root to their folder"
        )
    return sorted(found)


class Candidates(ImageFolder):
    """A folder of unlabeled images, decoded and normalized like the images that the model was trained on.

    Args:
        folder: folder of the images.
        own: data that the model was trained on; strategies compare with its labeled set.
        classes: one name per class of the model.
        size: side length in pixels.
        in_memory: see :class:`ImageFolder`.
        num_workers: see :class:`ImageFolder`.
        on_error: see :class:`ImageFolder`.
        group: see :class:`ImageFolder`; all groups may be selected.
    """

    def __init__(
        self,
        folder: Path,
        own: ActiveDataModule,
        classes: list[str],
        size: int,
        in_memory: bool | Literal["auto"],
        num_workers: int | None,
        on_error: Literal["raise", "skip"],
        group: str | None = None,
    ) -> None:
        super().__init__(
            str(folder),
            unlabeled=True,
            classes=classes,
            size=size,
            channels=1 if own.in_channels == 1 else 3,
            bands=own.bands if isinstance(own, ImageFolder) else None,
            fit=own.fit if isinstance(own, ImageFolder) else "crop",
            mean=[*own.mean],
            std=[*own.std],
            in_memory=in_memory,
            num_workers=num_workers,
            on_error=on_error,
            group=group,
            eval_batch_size=own.eval_batch_size,
        )
        self._own = own
        self.decoding = own.decoding  # with the value range that the run found

    def predict_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Load the folder, and the labeled set of the run if the strategy needs it."""
        loaders = super().predict_dataloader()
        if isinstance(loaders, list):
            self._own.enter(predict_labeled=True)
            theirs = self._own.predict_dataloader()
            assert isinstance(theirs, list)
            loaders[1] = theirs[1]
        return loaders

    def also_in(self, root: Path, paths: set[str]) -> list[int]:
        """Return the indices of images that another folder's ledger names.

        Args:
            root: the other folder.
            paths: paths below ``root``, as the ledger writes them.
        """
        if not paths:
            return []
        files = self.locations(torch.arange(len(self.labeled_at)))
        relative = (os.path.relpath(file, root.absolute()) for file in files)
        named = [path.encode(errors="backslashreplace").decode() in paths for path in relative]
        return [index for index, is_named in enumerate(named) if is_named]

    def may_have(self, paths: set[str]) -> bool:
        """Whether any file has the name of one of these; if not, the folder holds other images."""
        names = {os.path.basename(path) for path in paths}  # noqa: PTH119 - as the ledger writes them
        return any(file.name in names for file in self.locations(torch.arange(len(self.labeled_at))))


class _Progress(RoundProgress):
    """One bar for the one pass over the images."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        self._title = NAME  # there are no rounds


def _trainer(config: Namespace, callback: Query, stop: GracefulShutdown) -> Trainer:
    accelerator, precision = config.trainer.accelerator, config.trainer.precision
    if precision == "auto":
        precision, why = choose_precision(accelerator)
        say(f"precision {precision}: {why} (trainer.precision auto)", flush=True)
    with as_user_error():
        trainer = Trainer(
            accelerator=accelerator,
            devices=1,
            precision=precision,
            logger=False,
            callbacks=[callback, _Progress(), stop],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
    if precision == "16-mixed" and trainer.strategy.root_device.type == "cpu":
        raise ConfigError("trainer.precision 16-mixed needs a GPU, found a CPU: set it to bf16-mixed or 32-true")
    return trainer
