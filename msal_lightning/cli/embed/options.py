"""The options of ``embed``. Nothing here imports torch."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from msal_lightning.cli.run_options import number
from msal_lightning.config.command_parser import PROGRAM, CommandParser
from msal_lightning.config.paths import a_path
from msal_lightning.errors import ConfigError

PROG = f"{PROGRAM} embed"
_PASSED_ON = ("--model", "--data")
_FITS = ("crop", "letterbox", "squash")
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def _channels(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.strip("[]").split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3):
        raise argparse.ArgumentTypeError(f"expected three numbers like 0.5,0.5,0.5, or one for all, got '{text}'")
    return values * 3 if len(values) == 1 else values


def read_options(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the options of this command; ``rest`` holds those of the model and the data.

    Raises:
        ConfigError: an option is unknown, a value does not fit, or options don't fit each other.
    """
    parser = CommandParser(
        PROG,
        usage=f"{PROG} [SOURCE] --out FOLDER --model CLASS [--model.KEY VALUE ...] [options]",
        description="Compute features of images once, so that fits need seconds: `fit --config embeddings`. The same "
        "command resumes an interrupted one, and the files are the same as without the interruption.\n\n"
        "SOURCE is a folder with a sub-folder for each class, a folder of images without labels, a CSV file with the "
        "columns path, label and optionally split, or a dataset that save_to_disk of Hugging Face wrote (extra "
        "huggingface). --data CLASS is any dataset in place of SOURCE, with --data.KEY as in fit; its train and test "
        "parts are both embedded.\n\n"
        "--model CLASS is EfficientNetLite0 (extra pretrained), TorchvisionBackbone, TimmBackbone (extra timm), "
        "TorchHubModel, OnnxModel (extra onnx), or the dotted path of your own subclass of Backbone; --model.KEY is an "
        "option of the class.",
        examples=[
            f"{PROG} photos --out features --model EfficientNetLite0",
            f"{PROG} photos --out features --model TorchvisionBackbone --model.architecture resnet50 "
            "--model.weights resnet50.pth",
            f"{PROG} --data CIFAR10 --out features --model TimmBackbone --model.architecture convnext_tiny "
            "--model.weights convnext.safetensors",
        ],
    )
    _add_options(parser)
    own, rest = _split(argv)
    options: argparse.Namespace = parser.parse_args(own)
    options.rest = rest
    _check_together(options)
    return options


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of this command, and the options of the model and the data with their values."""
    own, passed_on, expects_value = list[str](), list[str](), False
    for word in argv:
        name = word.partition("=")[0]
        passes = name in _PASSED_ON or name.startswith(tuple(f"{option}." for option in _PASSED_ON))
        (passed_on if passes or (expects_value and not word.startswith("--")) else own).append(word)
        expects_value = passes and "=" not in word
    return own, passed_on


def _add_options(parser: CommandParser) -> None:
    add = parser.add_argument
    add("source", nargs="?", metavar="SOURCE", type=a_path, help="a folder of images, a CSV file, or a saved dataset")
    add("--out", required=True, type=a_path, metavar="FOLDER", help="folder for the features")
    add("--root", type=a_path, metavar="FOLDER", help="of a CSV file: where its paths begin (default: its own folder)")
    add("--unlabeled", action="store_true", help="sub-folders are no classes")
    add("--image_column", metavar="NAME", help="of a saved dataset: its images (default: the only such column)")
    add("--label_column", metavar="NAME", help="of a saved dataset: its labels (default: the classes, or label)")
    add("--on_error", choices=["skip", "raise"], default="skip", help="skip images that cannot be read, or refuse them")
    what = "(default: what the model was trained with)"
    add("--size", type=number(1), metavar="N", help=f"pixels of a side {what}")
    add("--resize", type=number(1), metavar="N", help=f"scale the shorter side to this, then cut out the center {what}")
    add("--fit", choices=_FITS, help="how an image becomes a square: crop its center, pad it (letterbox), or squash it")
    add("--interpolation", choices=_INTERPOLATIONS, help=f"how pixels are scaled {what}")
    add("--mean", type=_channels, metavar="R,G,B", help=f"mean of the channels, 0 to 1 {what}")
    add("--std", type=_channels, metavar="R,G,B", help=f"standard deviation of the channels {what}")
    add("--background", type=_channels, metavar="R,G,B", help="color behind transparency and borders (default: white)")
    add("--dtype", choices=["float16", "float32"], default="float16", help="of the features (default: %(default)s)")
    add("--batch_size", type=number(1), default=64, metavar="N", help="images a step (default: %(default)s)")
    add("--rows_per_shard", type=number(1), default=65_536, metavar="N", help="images a file (default: %(default)s)")
    add("--num_workers", type=number(1), metavar="N", help="threads that decode (default: one per CPU, at most 8)")
    add("--accelerator", choices=["auto", "cpu", "gpu", "mps"], default="auto", help="where the model runs")
    add("--executor", choices=["local", "ray"], default="local", help="computes the shards (default: %(default)s)")
    add("--cpus", type=number(1), default=1, metavar="N", help="ray: cores for a shard (default: %(default)s)")
    add(
        "--gpus", type=float, default=0, metavar="N", help="ray: GPUs for a shard, or a fraction (default: %(default)s)"
    )
    add(
        "--precision",
        choices=["auto", "32-true", "bf16-mixed"],
        default="auto",
        help="auto: bfloat16 where the device computes in it",
    )


def _check_together(options: argparse.Namespace) -> None:
    """Refuse options that don't fit each other."""
    has_data = any(word.partition("=")[0] == "--data" for word in options.rest)
    if has_data == (options.source is not None):
        got = "both" if has_data else "neither"
        raise ConfigError(f"expected SOURCE or --data, got {got}: see `{PROG} --help`")
    if not any(word.partition("=")[0] == "--model" for word in options.rest):
        raise ConfigError("expected --model to name a class, got none: --model EfficientNetLite0 for example")
    if options.root is not None and (options.source is None or Path(options.source).suffix.lower() != ".csv"):
        raise ConfigError("expected --root with a CSV file only: a folder is its own root")
