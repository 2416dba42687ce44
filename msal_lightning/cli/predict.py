"""The command ``predict``. Nothing here imports torch before the options are read."""

import argparse
import os
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from msal_lightning.cli.run_options import add_run, add_run_options, data_words, number
from msal_lightning.config.command_parser import PROGRAM, CommandParser
from msal_lightning.config.paths import a_path, expand
from msal_lightning.errors import ConfigError
from msal_lightning.io.names import name_some
from msal_lightning.io.terminal import say
from msal_lightning.io.wording import counted

if TYPE_CHECKING:
    from msal_lightning.inference.predictions import Predicted, PredictionFiles

PROG = f"{PROGRAM} predict"
_SHOWN = 5  # classes in the last line
_BATCH = 128


def predict(argv: list[str]) -> None:
    """Predict the classes of new images with the model of a run, or resume after an interruption.

    Args:
        argv: options of the command.

    Raises:
        UserError: a mistake that the user can correct.
    """
    options = _parse(argv)
    from msal_lightning.embed.plan import Plan
    from msal_lightning.embed.progress import EmbedProgress
    from msal_lightning.inference.devices import device_of
    from msal_lightning.inference.find_images import find_images
    from msal_lightning.inference.network import Scorer
    from msal_lightning.inference.predictions import PredictionFiles, Predictions
    from msal_lightning.inference.ready import ready_model
    from msal_lightning.inference.threshold_file import model_digest, require_decision
    from msal_lightning.training.signals import GracefulShutdown

    files = PredictionFiles(options.out, options.embeddings)
    files.refuse_existing()
    device = device_of(options.device, "--device")
    ready = ready_model(options.run, data_words(options), options.trust)
    images = find_images(options.images, ready, options.root)
    say(ready.describe())
    workers = options.num_workers or min(8, _cpus())
    plan = Plan(options.batch_size, precision=options.precision, workers=workers)
    scorer = Scorer(ready.network, device, options.embeddings, options.precision == "bf16-mixed")
    settings = {
        "model": model_digest(ready.trained.file),
        "images": images.digest(),
        **{key: getattr(options, key) for key in ("embeddings", "batch_size", "precision")},
    }
    decision = require_decision(ready.trained, ready.class_names) if options.threshold else None
    settings |= {"decision": asdict(decision)} if decision else {}
    work = Predictions(files, images, scorer, plan, ready.class_names, decision)
    what = "image" if ready.decoding else "row"
    with GracefulShutdown() as stop, EmbedProgress(len(images), what=f"{what}s") as progress:
        stop.where = f"'{options.out}'"
        found = work.run(settings, options.probabilities, stop.check, progress)
    _say_result(found, files, what)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = CommandParser(
        PROG,
        usage=f"{PROG} RUN IMAGES [IMAGES ...] --out FILE.csv [options]",
        description="Predict the classes of new images with the last model of a run. Images are decoded and scaled as "
        "in the run's own test; those that cannot be read are listed and left out. The same command resumes an "
        "interrupted one, and the files are the same as without the interruption.\n\n"
        "IMAGES is a folder with images in any sub-folders, a CSV file with the column path, a pattern in quotes, or "
        "image files; for a run on features, a folder that `embed` or another program filled. FILE.csv has the columns "
        "path, class and probability.",
        examples=[
            f"{PROG} runs/mine photos --out photos.csv",
            f"{PROG} runs/mine 'photos/**/*.jpg' --out photos.csv --probabilities --embeddings",
            f"{PROG} runs/mine/checkpoints/round-003.ckpt new.csv --root photos --out photos.csv --device cuda",
        ],
    )
    add_run(parser)
    add = parser.add_argument
    add("images", metavar="IMAGES", nargs="+", type=expand, help="a folder, a CSV file, a pattern, or image files")
    add("--out", required=True, type=a_path, metavar="FILE.csv", help="file for the predictions")
    add("--probabilities", action="store_true", help="add a column p_CLASS for each class")
    add("--threshold", action="store_true", help="decide about a rare class by the threshold that `threshold` chose")
    add(
        "--embeddings",
        action="store_true",
        help="write FILE.npy, too: (n, D) float32, one row for each line of FILE.csv",
    )
    add("--root", type=a_path, metavar="FOLDER", help="of a CSV file: where its paths begin (default: its own folder)")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps (default: %(default)s)")
    add(
        "--precision",
        choices=["32-true", "bf16-mixed"],
        default="32-true",
        help="bf16-mixed is quicker on a GPU, and less exact (default: %(default)s)",
    )
    add("--batch_size", type=number(1), default=_BATCH, metavar="N", help="images a step (default: %(default)s)")
    add("--num_workers", type=number(1), metavar="N", help="threads that decode (default: one per CPU, at most 8)")
    add_run_options(parser)
    options: argparse.Namespace = parser.parse_args(argv)
    if options.out.suffix.lower() != ".csv":
        raise ConfigError(f"expected --out to be a file that ends in .csv, got '{options.out}': rename it")
    return options


def _say_result(found: "Predicted", files: "PredictionFiles", what: str) -> None:
    if found.skipped:
        say(
            f"{counted(len(found.skipped), what)} cannot be read and left out: "
            f"{name_some([name for name, _ in found.skipped])}; {files.skipped} says why"
        )
    count = sum(found.classes.values())
    beside = f", embeddings in '{files.embeddings}'" if files.with_embeddings else ""
    say(f"{counted(count, 'prediction')} in '{files.table}'{beside} ({found.rate:,.0f} {what}s a second)")
    say(f"predicted: {_say_classes(found.classes)}")


def _say_classes(classes: Counter[str]) -> str:
    shown: list[tuple[str, Any]] = classes.most_common(_SHOWN)
    rest = f" and {len(classes) - _SHOWN:,} other classes" if len(classes) > _SHOWN else ""
    return ", ".join(f"{name} {count:,}" for name, count in shown) + rest
