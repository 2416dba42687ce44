"""``query``: which images of a folder to label, from a trained model, without a loop."""

import argparse
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.seed import isolate_rng

from msal_lightning.checkpoint import load_checked
from msal_lightning.collection import read_run
from msal_lightning.data import ActiveDataModule, ImageFolder
from msal_lightning.display import RoundProgress
from msal_lightning.errors import UserError
from msal_lightning.failures import explained
from msal_lightning.fit import build_parser, instantiate, one_sentence, parse
from msal_lightning.module import MSALClassifier
from msal_lightning.oracles.base import Question
from msal_lightning.oracles.question_csv import write_csv
from msal_lightning.oracles.sheet import write_sheet
from msal_lightning.oracles.suggest import make_items
from msal_lightning.query import Query
from msal_lightning.quiet import quiet_lightning
from msal_lightning.selection import check_classes

DESCRIPTION = """\
Choose images of a folder to label with a trained model, once and without a loop: writes query.csv and query.html.

examples:
  python -m msal_lightning query --checkpoint runs/mine --images photos --n 100
  python -m msal_lightning query --checkpoint runs/mine/checkpoints/round-003.ckpt --images photos --n 9 --query Margin
"""
NAME = "query"


def query(argv: list[str]) -> None:
    """Score all images below a folder, choose some, and write what a person needs to label them.

    Args:
        argv: options of the command; those of ``--query`` are options of ``fit``.

    Raises:
        UserError: anything that the user can mend.
    """
    parser = argparse.ArgumentParser(
        prog="python -m msal_lightning query",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--checkpoint", required=True, type=Path, help="a run directory, or the model of one round")
    parser.add_argument("--images", required=True, type=Path, help="folder with the images, also in folders below it")
    parser.add_argument("--n", required=True, type=int, help="images to choose")
    parser.add_argument("--out", type=Path, default=Path("query"), help="folder of the two files (default: query)")
    parser.add_argument("--on_error", choices=["raise", "skip"], default="raise", help="images that cannot be read")
    parser.add_argument(
        "--query", metavar="NAME", help="the strategy, with --query.OPTION as in fit (default: that of the run)"
    )
    options, rest = parser.parse_known_args(argv)
    ours = ("--query.", "--trainer.", "--seed")
    if unknown := [word for word in rest if word.startswith("-") and not word.startswith(ours)]:
        raise UserError(f"'query' has no option {unknown[0]}: see python -m msal_lightning query --help")
    if options.n < 1:
        raise UserError(f"expected --n to be at least 1, got {options.n}: it is how many images to choose")
    if (options.out / f"{NAME}.csv").exists():
        raise UserError(
            f"'{options.out / f'{NAME}.csv'}' is there already and may have labels in it: set --out to another folder"
        )

    file, folder = _model_file(options.checkpoint)
    settings, config = build_parser(), read_run(folder)
    chosen = ["--query", options.query] if options.query else []
    parsed = parse(settings, ["--config", str(folder / "config.yaml"), *chosen, *rest])
    with one_sentence(), quiet_lightning():
        part = instantiate(settings, parsed, "query", "data", "model")
        names = next((record.class_names for record in config.records[::-1] if record.class_names), None)
        data = _images(part.data, options.images, options.on_error, names)
        check_classes(part.query, data.num_classes)
        model = MSALClassifier(data.num_classes, data.in_channels, **part.model)
        if part.query.needs_prototypes and model.head_name != "prototype":
            raise UserError(
                f"query {part.query.name} needs prototypes, the model in '{file}' has a {model.head_name} head: set "
                "--query to Entropy, Margin or LeastConfidence"
            )
    _load(model, file)
    callback = Query(part.query, min(options.n, len(data.pool)), parsed.seed, 0)
    if part.query.needs_labeled:
        print(f"({part.query.name} compares with labeled images, of which there are none here)")
    with isolate_rng(), quiet_lightning(), explained(data.num_workers):
        trainer = _trainer(settings, parsed, callback)
        if part.query.needs:
            trainer.predict(model, datamodule=data, return_predictions=False)
        callback.choose(data)
    question = Question(NAME, make_items(data, callback.selection, model), data.class_names, options.out)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        write_sheet(question, options.out / f"{NAME}.html")
        write_csv(question, options.out / f"{NAME}.csv")
    except OSError as error:
        raise UserError(
            f"cannot write into '{options.out}' ({error.strerror}): set --out to a folder of yours"
        ) from None
    chosen_by = f"{len(question.items)} of {len(data.pool):,} images chosen by {part.query.name}"
    print(f"{chosen_by}: {options.out / NAME}.csv, and {options.out / NAME}.html to label them by keys")


def _model_file(checkpoint: Path) -> tuple[Path, Path]:
    """The model, and the run directory that it belongs to."""
    if checkpoint.is_dir():
        models = sorted((checkpoint / "checkpoints").glob("round-*.ckpt"))
        if not models:
            raise UserError(
                f"expected --checkpoint '{checkpoint}' to be a run directory with the model of a round, found none: "
                "run `fit` with loop.keep_checkpoints last or all"
            )
        return models[-1], checkpoint
    if not checkpoint.is_file():
        raise UserError(f"expected --checkpoint to be a run directory or a model of one, found no '{checkpoint}'")
    return checkpoint, checkpoint.parent.parent


def _load(model: MSALClassifier, file: Path) -> None:
    try:
        model.load_state_dict(load_checked(file)["state_dict"])
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            f"cannot read the model '{file}' ({str(error).splitlines()[0]:.120}): give --checkpoint the model of a "
            "finished round, round-KKK.ckpt"
        ) from None


def _images(trained: ActiveDataModule, folder: Path, on_error: Any, names: list[str] | None) -> ImageFolder:
    """The images of the folder as the model's own were: size, channels and normalization."""
    if isinstance(trained, ImageFolder):
        size = trained.size
        if names is None:
            trained.setup()
    else:
        trained.prepare_data()
        trained.setup()
        size = trained.images.shape[-1]
    data = ImageFolder(
        str(folder),
        unlabeled=True,
        classes=[*(names or trained.class_names)],
        size=size,
        channels=1 if trained.in_channels == 1 else 3,
        mean=[*trained.mean],
        std=[*trained.std],
        on_error=on_error,
        batch_size=trained.batch_size,
        eval_batch_size=trained.eval_batch_size,
    )
    data.setup()
    data.reset(0)
    return data


def _trainer(settings: ArgumentParser, config: Namespace, query: Query) -> Trainer:
    own = instantiate(settings, config, "trainer").trainer.as_dict()
    return Trainer(
        **{
            **own,
            "devices": 1,
            "logger": False,
            "callbacks": [query, RoundProgress(0, 0)],
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "enable_progress_bar": False,
        }
    )
